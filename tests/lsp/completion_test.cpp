// The spine, with a scripted model: which texts are shown, cut, revised or dropped, and what the trace says.
#include "lsp/completion.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "lsp/plan.h"
#include "lsp/report.h"

using lsp::Completion;
using lsp::CompletionInput;
using lsp::ModelPort;
using lsp::StepKind;

namespace {

// Says its lines one after another, a token per character, and remembers what it was asked.
struct Script {
  std::vector<std::string> lines;
  int max_depth = 6;
  std::size_t calls = 0;
  std::vector<std::string> prefixes{};
  std::vector<std::string> suffixes{};
  std::vector<std::size_t> segments{};
  std::vector<inference::GenerateParams> params{};
  std::vector<int> prefilled{};
  std::vector<std::uint8_t> drafted{}, accepted{};  // beside each token; may be empty
  float logprob = 0;  // of each token

  ModelPort port() {
    ModelPort port;
    port.max_depth = max_depth;
    port.count = [](std::string_view text) { return text.size() / 4 + 1; };
    port.token_bytes = [](inference::TokenId) { return std::size_t{1}; };
    port.generate = [this](const std::string&, const inference::FimPrompt& prompt, const inference::GenerateParams& given,
                           std::stop_token stop) {
      prefixes.emplace_back(prompt.prefix);
      suffixes.emplace_back(prompt.suffix);
      segments.push_back(prompt.segments.size());
      params.push_back(given);
      inference::GenerateResult result;
      if (stop.stop_requested()) {
        result.finish = inference::FinishReason::cancelled;
        return result;
      }
      const std::string line = calls < lines.size() ? lines[calls] : "";
      ++calls;
      result.finish = inference::FinishReason::end_token;
      for (const char c : line) {
        if (static_cast<int>(result.tokens.size()) == given.max_tokens) {
          result.finish = inference::FinishReason::max_tokens;
          break;
        }
        result.text += c;
        result.tokens.push_back(c);
        result.logprobs.push_back(logprob);
        result.token_ms.push_back(static_cast<double>(result.tokens.size()));
        if (given.stop_rule(result.text)) {
          result.finish = inference::FinishReason::stop_rule;
          break;
        }
      }
      result.timings.generated_tokens = result.tokens.size();
      result.drafted = drafted;
      result.accepted = accepted;
      for (const std::size_t n : drafted) result.timings.drafted_tokens += n;
      for (const std::size_t n : accepted) result.timings.accepted_tokens += n;
      return result;
    };
    port.prefill = [this](const std::string&, const inference::FimPrompt& prompt, int depth, std::stop_token) {
      prefixes.emplace_back(prompt.prefix);
      prefilled.push_back(depth);
    };
    return port;
  }
};

CompletionInput at(std::string marked, context::Language language = context::Language::python) {
  CompletionInput input;
  input.offset = marked.find('|');
  marked.erase(input.offset, 1);
  input.document = std::make_shared<const context::Document>(marked, 1);
  input.session = input.path = "a";
  input.language = language;
  return input;
}

std::string kinds(const Completion& completion) {
  std::string text;
  for (const auto& step : completion.steps) text += std::string(name(step.kind)) + " ";
  return text;
}

std::string explained(const Completion& completion) {
  std::string text;
  for (const auto& sentence : completion.explain) text += sentence + "\n";
  return text;
}

}  // namespace

TEST_CASE("a good draft is shown, with its trace") {
  Script script{{"a + b"}};
  const auto completion = complete(script.port(), at("def add(a, b):\n    return |\n"), {});
  CHECK(completion.text == "a + b");
  CHECK(completion.depth >= 1);
  CHECK(kinds(completion) == "draft verify ");
  CHECK(completion.steps[0].tokens_generated == 5);
  CHECK(completion.steps[0].depth == completion.depth);
  CHECK(completion.timings.generated_tokens == 5);
  REQUIRE(script.prefixes.size() == 1);
  CHECK(script.prefixes[0] == "def add(a, b):\n    return ");
  CHECK(script.suffixes[0] == "\n");
  CHECK_FALSE(completion.explain.empty());
}

TEST_CASE("the trace says for each step how many tokens were guessed, and how many rightly") {
  Script script{{"x = 1\n    return x"}};
  script.drafted.assign(18, 0);
  script.accepted.assign(18, 0);
  script.drafted[1] = 4, script.accepted[1] = 3;   // in "x = 1"
  script.drafted[12] = 2, script.accepted[12] = 2;  // in "return x"
  const auto completion = complete(script.port(), at("def f():\n    |\n"), {});
  REQUIRE(completion.text == "x = 1\n    return x");
  REQUIRE(kinds(completion) == "draft draft verify ");
  CHECK(completion.steps[0].tokens_drafted == 4);
  CHECK(completion.steps[0].tokens_accepted == 3);
  CHECK(completion.steps[1].tokens_drafted == 2);
  CHECK(completion.steps[1].tokens_accepted == 2);
  CHECK(completion.timings.drafted_tokens == 6);
  CHECK(completion.timings.accepted_tokens == 5);
  const auto json = lsp::report(completion, context::Language::python, "m", "cpu");
  CHECK(json.at("loop_steps").at(0).at("tokens_drafted") == 4);
  CHECK(json.at("loop_steps").at(1).at("tokens_accepted") == 2);
  CHECK(json.at("tokens").at("drafted") == 6);
  CHECK(lsp::describe_steps(completion.steps).find("3 of 4 guesses right\n") != std::string::npos);
}

TEST_CASE("comments and strings are left alone unless they are wanted") {
  Script script{{"x"}};
  auto input = at("# a comment |\n");
  const auto off = complete(script.port(), input, {});
  CHECK(off.text.empty());
  CHECK(off.finish_reason == "off");
  CHECK(script.calls == 0);
  CHECK(explained(off).find("loopd.comments") != std::string::npos);
  input.options.comments = true;
  complete(script.port(), input, {});
  CHECK(script.calls == 1);
}

TEST_CASE("depth follows the policy, the request and the model") {
  const char* text = "def f(a):\n    |\n";
  for (const auto& [explicit_request, max_depth, expected] : {std::tuple(false, 6, 3), std::tuple(true, 6, 4), std::tuple(true, 2, 2)}) {
    Script script{{"return a"}, max_depth};
    auto input = at(text);
    input.explicit_request = explicit_request;
    input.options.policy.function = {3, 4};
    complete(script.port(), input, {});
    REQUIRE(script.params.size() == 1);
    CHECK(script.params[0].depth == expected);
  }
  Script script{{"return a"}};
  auto input = at(text);
  input.options.depth = 5;
  CHECK(complete(script.port(), input, {}).depth == 5);
}

TEST_CASE("a suggestion says how likely the model finds what is shown of its draft") {
  Script script{{"x = a\n    y = = a\n"}};
  script.logprob = -0.1F;
  const auto cut = complete(script.port(), at("def f(a):\n    |\n\n\ndef g():\n    pass\n"), {});
  CHECK(cut.text == "x = a");
  CHECK(cut.probability == doctest::Approx(std::exp(-0.5)));
  Script revised{{"x = a\n    y = = a\n", "z = a\n"}, 1};
  CHECK(complete(revised.port(), at("def f(a):\n    |\n\n\ndef g():\n    pass\n"), {}).probability == 0);
  Script silent{{""}};
  CHECK(complete(silent.port(), at("def f(a):\n    |\n"), {}).probability == 0);
}

TEST_CASE("a fault with no pass left is cut back to the last good step") {
  Script script{{"x = a\n    y = = a\n"}};
  const auto completion = complete(script.port(), at("def f(a):\n    |\n\n\ndef g():\n    pass\n"), {});
  CHECK(completion.text == "x = a");
  CHECK(script.calls == 1);
  CHECK(explained(completion).find("broken the parse") != std::string::npos);
}

TEST_CASE("nothing is shown where no step is good") {
  Script script{{"x = = ) 3\n"}};
  const auto completion = complete(script.port(), at("def f(a):\n    |\n\n\ndef g():\n    pass\n"), {});
  CHECK(completion.text.empty());
  CHECK(completion.replace_after == 0);
  CHECK(explained(completion).find("nothing is shown") != std::string::npos);
}

TEST_CASE("depth that the model lacks revises the faulty step, with its first token banned") {
  Script script{{"x = a\n    y = = a\n", "z = a\n"}, 1};
  const auto completion = complete(script.port(), at("def f(a):\n    |\n\n\ndef g():\n    pass\n"), {});
  REQUIRE(script.calls == 2);
  CHECK(completion.text == "x = a\n    z = a");
  CHECK(kinds(completion).find("revise verify") != std::string::npos);
  // The good step stays: the second pass continues behind it.
  CHECK(script.prefixes[1].find("x = a\n") != std::string::npos);
  CHECK(script.prefixes[1].find("= =") == std::string::npos);
  CHECK(script.params[1].banned_first == std::vector<inference::TokenId>{'y'});
  std::size_t revised = 0;
  for (const auto& step : completion.steps) revised += step.tokens_revised;
  CHECK(revised > 0);
}

TEST_CASE("a revise pass that is no better is not shown, and the passes end") {
  Script script{{"x = a\n    y = = a\n", "z = = a\n", "w = = a\n", "v = = a\n", "u = = a\n"}, 1};
  const auto completion = complete(script.port(), at("def f(a):\n    |\n\n\ndef g():\n    pass\n"), {});
  CHECK(completion.text == "x = a");
  CHECK(script.calls <= 4);
}

TEST_CASE("an unfinished last line is left out, except where it is the only one") {
  Script script{{"x = a\n    y = abcdefgh\n"}};
  auto input = at("def f(a):\n    |\n\n\ndef g():\n    pass\n");
  input.options.max_tokens = 15;
  CHECK(complete(script.port(), input, {}).text == "x = a");
}

TEST_CASE("a cancelled request ends without text") {
  Script script{{"a + b"}};
  std::stop_source source;
  source.request_stop();
  const auto completion = complete(script.port(), at("def add(a, b):\n    return |\n"), source.get_token());
  CHECK(completion.text.empty());
  CHECK(completion.finish_reason == "cancelled");
}

TEST_CASE("clients that take one line get one") {
  Script script{{"x = a\n    y = a\n"}};
  auto input = at("def f(a):\n    |\n");
  input.options.single_line = true;
  CHECK(complete(script.port(), input, {}).text == "x = a");
}

TEST_CASE("passages of other files reach the model") {
  Script script{{"x"}};
  auto input = at("def total(prices, discount):\n    return sum(prices) - |\n");
  input.others.push_back({"b.py", std::make_shared<const context::Document>("def mean(prices, discount):\n    return sum(prices) / 2 - discount\n", 1)});
  complete(script.port(), input, {});
  CHECK(script.segments[0] == 1);
  input.options.snippet_count = 0;
  complete(script.port(), input, {});
  CHECK(script.segments[1] == 0);
}

TEST_CASE("preparing asks for the prompt that the request will have") {
  Script script{{"a"}};
  const auto input = at("def add(a, b):\n    return |\n");
  prepare(script.port(), input, {});
  complete(script.port(), input, {});
  REQUIRE(script.prefixes.size() == 2);
  CHECK(script.prefixes[0] == script.prefixes[1]);
  CHECK(script.prefilled == std::vector<int>{script.params[0].depth});
}

TEST_CASE("any offset and any text are safe") {
  for (const char* text : {"|", "\n\n|", "😀|", "\xff\xfe|", "def f(|"}) {
    for (const auto language : {context::Language::python, context::Language::cpp, context::Language::none}) {
      Script script{{"\xf0\x9f\n\n}}}}))"}};
      auto input = at(text, language);
      complete(script.port(), input, {});
      input.offset = 1000;
      complete(script.port(), input, {});
    }
  }
}
