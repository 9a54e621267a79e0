// Several suggestions for one place, with a scripted model: each begins differently, and none says what another said.
#include "lsp/alternatives.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace {

// Says the first of its lines that begins with no banned token, a token per character.
struct Model {
  std::vector<std::string> lines;
  std::vector<inference::GenerateParams> asked{};
  inference::FinishReason finish = inference::FinishReason::end_token;

  lsp::ModelPort port() {
    lsp::ModelPort port;
    port.max_depth = 6;
    port.count = [](std::string_view text) { return text.size() / 4 + 1; };
    port.token_bytes = [](inference::TokenId) { return std::size_t{1}; };
    port.generate = [this](const std::string&, const inference::FimPrompt&, const inference::GenerateParams& params, std::stop_token) {
      asked.push_back(params);
      inference::GenerateResult result;
      result.finish = params.banned_first.empty() ? inference::FinishReason::end_token : finish;
      for (const std::string& line : lines) {
        if (std::count(params.banned_first.begin(), params.banned_first.end(), line.front()) > 0) continue;
        result.text = line;
        result.tokens.assign(line.begin(), line.end());
        break;
      }
      return result;
    };
    return port;
  }

  std::string texts(std::size_t most, std::stop_token stop = {}) {
    lsp::CompletionInput input;
    const std::string text = "def add(a, b):\n    return ";
    input.document = std::make_shared<const context::Document>(text + "\n", 1);
    input.offset = text.size();
    input.session = input.path = "a.py";
    input.language = context::Language::python;
    std::string all;
    for (const auto& one : complete_several(port(), input, most, std::chrono::milliseconds(0), stop)) all += one.text + "|";
    return all;
  }
};

}  // namespace

TEST_CASE("one is asked for once") {
  Model model{{"a + b", "b + a"}};
  CHECK(model.texts(1) == "a + b|");
  CHECK(model.asked.size() == 1);
}

TEST_CASE("further ones begin with none of the tokens before, and differ in more than blanks") {
  Model model{{"a + b", " a+b", "b + a", "sum((a, b))", "max(a, b)"}};
  CHECK(model.texts(3) == "a + b|b + a|sum((a, b))|");
  REQUIRE(model.asked.size() == 4);
  CHECK(model.asked[3].banned_first == std::vector<inference::TokenId>{'a', ' ', 'b'});
}

TEST_CASE("they end where the model has no other way, and what would break the parse is left out") {
  CHECK(Model{{"a + b"}}.texts(3) == "a + b|");
  CHECK(Model{{"a + b", "= ) b", "min(a, b)"}}.texts(3) == "a + b|min(a, b)|");
  Model silent{{}};
  CHECK(silent.texts(3) == "|");
  CHECK(silent.asked.size() == 1);
  // As many that say nothing new as it takes.
  Model repeating{{"a", " a", "\ta", "\ra", "\na", "b"}};
  CHECK(repeating.texts(3) == "a|");
  CHECK(repeating.asked.size() == 5);
}

TEST_CASE("a text that the deadline cut is no suggestion, and a stop request ends the tries") {
  Model late{{"a + b", "b + a"}};
  late.finish = inference::FinishReason::deadline;
  CHECK(late.texts(3) == "a + b|");
  CHECK(late.asked.size() == 2);
  Model stopped{{"a + b", "b + a"}};
  std::stop_source source;
  source.request_stop();
  stopped.texts(3, source.get_token());
  CHECK(stopped.asked.size() == 1);
}
