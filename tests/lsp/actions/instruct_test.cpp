// Actions with a model that follows instructions: the question, what is taken of its answer, and a real checkpoint's path.
#include "lsp/actions/instruct.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "inference/engine.h"
#include "lsp/actions/actions.h"
#include "lsp/sessions.h"
#include "tests/inference/tiny_model.h"
#include "tests/lsp/fake_model.h"

using Json = nlohmann::json;

namespace {

const std::string stub = "import os\n\n\ndef area(w, h):\n    \"\"\"Width times height.\"\"\"\n    pass\n\n\nx = 1\n";

lsp::ActionPlace place_in(const std::string& text, std::size_t offset) {
  lsp::ActionPlace place;
  place.document = std::make_shared<const context::Document>(text, 1);
  place.language = context::Language::python;
  place.path = "shapes.py";
  place.start = place.end = offset;
  return place;
}

lsp::ActionResult implement(const lsp::ModelPort& model, const lsp::FillOptions& options = {}) {
  const auto place = place_in(stub, stub.find("area"));
  lsp::ActionOffer offer;
  offer.start = offer.end = place.start;
  return lsp::run_action(model, offer, place, options, {}, {});
}

std::string applied(const lsp::ActionResult& result) {
  if (result.changes.size() != 1) return "no change";
  const auto& change = result.changes[0].changes.at(0);
  return stub.substr(0, change.start) + change.text + stub.substr(change.end);
}

// A model that is only ever asked.
struct Asked {
  std::vector<std::string> answers;
  std::vector<std::string> questions{}, systems{};
  tests::FakeModel none{[](const std::string&, const std::string&) -> std::string { throw std::logic_error("the model was made to fill in the middle"); }, {}, {}, {}};

  lsp::ModelPort port() {
    lsp::ModelPort port = none.port();
    port.answer = [this](const std::string&, const std::string& system, const std::string& user, const inference::GenerateParams&, std::stop_token) {
      systems.push_back(system);
      questions.push_back(user);
      inference::GenerateResult result;
      result.text = answers.at(std::min(questions.size(), answers.size()) - 1);
      for (const char c : result.text) result.tokens.push_back(c);
      return result;
    };
    return port;
  }
};

// A tiny checkpoint that has a chat template.
struct Checkpoint {
  explicit Checkpoint(const std::string& chat, const std::string& eos = "<|fim_end|>") : model(77) {
    std::ofstream(model.dir() + "/tokenizer_config.json") << Json{{"chat_template", chat}, {"eos_token", eos}}.dump();
    inference::EngineOptions options;
    options.model_dir = model.dir();
    options.device = "cpu";
    options.threads = 1;
    engine = inference::Engine::load(options);
  }
  tiny::Model model;
  std::shared_ptr<const inference::Engine> engine;
};

}  // namespace

TEST_CASE("of an answer the code is taken, indented as it must be") {
  struct Row {
    const char *before, *answer, *code;
    bool one_line = false;
  };
  const Row rows[] = {
      {"def f(a):\n    ", "return a", "return a"},
      {"def f(a):\n    ", "Sure:\n```python\nreturn a\n```\nThis returns a.", "return a"},
      {"def f(a):\n    ", "```python\n    b = a\n    return b\n```", "b = a\n    return b"},
      {"def f(a):\n    ", "```\nif a:\n    return 1\n\nreturn 2\n```", "if a:\n        return 1\n\n    return 2"},
      {"def f(a):\n    ", "```python\ndef f(a):\n    return a\n```", "return a"},
      {"def f(a):\n    ", "```python\nreturn a", "return a"},  // cut off
      {"x = ", "x = 1", "1"},
      {"x = ", "```\nx = 1\ny = 2\n```", "1", true},
      {"    /** ", "Adds two numbers.\nMore.", "Adds two numbers.", true},
      {"int f() {\n  ", "```cpp\r\n  a();\r\n  b();\r\n```", "a();\n  b();"},
      {"a", "", ""},
      {"a", "```", ""},
      {"a", "```\n\n```", ""},
  };
  for (const Row& row : rows) {
    CAPTURE(row.answer);
    CHECK(lsp::code_of_answer(row.answer, row.before, row.one_line) == row.code);
  }
}

TEST_CASE("an instruct model is asked, shown what was wrong, and its answer checked like any other") {
  Asked model{{"I would rather not (", "```python\nreturn w * h\n```"}};
  const auto result = implement(model.port());
  CHECK(applied(result) == "import os\n\n\ndef area(w, h):\n    \"\"\"Width times height.\"\"\"\n    return w * h\n\n\nx = 1\n");
  REQUIRE(model.questions.size() == 2);
  CHECK(model.questions[0].find("In shapes.py:\n```python\nimport os") != std::string::npos);
  CHECK(model.questions[0].find("    <<<HERE>>>\n") != std::string::npos);
  CHECK(model.questions[0].find("Write the body of area.") != std::string::npos);
  CHECK(model.questions[0].find("could not be used") == std::string::npos);
  CHECK(model.questions[1].find("The last answer could not be used: it would break the parse.") != std::string::npos);
  CHECK(model.systems[0].find("one block of code") != std::string::npos);
  REQUIRE_FALSE(result.steps.empty());
  CHECK(result.steps[0].focus == "answer");
  CHECK(result.steps[0].tokens_generated == model.answers[0].size());
}

TEST_CASE("an instruct model whose answers never pass changes nothing") {
  Asked model{{"def ("}};
  const auto result = implement(model.port());
  CHECK(result.changes.empty());
  CHECK(model.questions.size() == 3);
}

TEST_CASE("the question fits the model's context") {
  std::string text;
  for (int i = 0; i < 2000; ++i) text += "value_" + std::to_string(i) + " = " + std::to_string(i) + "\n";
  Asked model{{"x"}};
  lsp::ModelPort port = model.port();
  port.context = 1024;
  lsp::CompletionInput input;
  input.document = std::make_shared<const context::Document>(text, 1);
  input.offset = text.size() / 2;
  input.path = "values.py";
  const std::string asked = lsp::question(port, input, {"Continue the code.", "", false});
  CHECK(port.count(asked) + static_cast<std::size_t>(input.options.max_tokens) <= 1024);
  CHECK(port.count(asked) > 400);
}

TEST_CASE("a checkpoint's chat template lays out what an action asks, as Jinja does") {
  std::ifstream file(std::string(LOOPD_SOURCE_DIR) + "/tests/golden/chat.json");
  const Json goldens = Json::parse(file);
  for (const Json& golden : goldens) {
    const Checkpoint checkpoint(golden.at("template"), golden.at("eos_token"));
    CAPTURE(golden.at("name").get<std::string>());
    const Json& one = golden.at("cases").at(2);
    const auto tokens = checkpoint.engine->encode_chat(one.at("messages").at(0).at("content").get<std::string>(), one.at("messages").at(1).at("content").get<std::string>()).tokens;
    std::string wanted = one.at("rendered");
    if (golden.at("bos_token") == "<s>" && wanted.starts_with("<s>")) wanted.erase(0, 3);  // this checkpoint names none
    CHECK(checkpoint.engine->tokenizer().decode(tokens) == wanted);
  }
}

TEST_CASE("with a checkpoint that answers, actions run by its template; others fill in the middle") {
  const std::string chat = "{% for m in messages %}<|file_sep|>{{ m.role }}\n{{ m.content }}<|fim_end|>{% endfor %}{% if add_generation_prompt %}<|file_sep|>assistant\n{% endif %}";
  lsp::FillOptions options;
  options.max_tokens = 8;
  options.attempts = 2;
  {
    const Checkpoint checkpoint(chat);
    CHECK(checkpoint.engine->instructs());
    lsp::Sessions sessions(checkpoint.engine);
    REQUIRE(sessions.port().answer);
    const auto result = implement(sessions.port(), options);  // random weights: whatever they say is checked
    CHECK(result.steps.at(0).focus == "answer");
    CHECK(result.timings.prompt_tokens > 0);
    if (!result.changes.empty()) CHECK(applied(result).starts_with("import os\n\n\ndef area(w, h):\n    \"\"\"Width times height.\"\"\"\n"));
  }
  const Checkpoint base(chat, "<|endoftext|>");
  CHECK_FALSE(base.engine->instructs());
  lsp::Sessions sessions(base.engine);
  CHECK_FALSE(sessions.port().answer);
  const Checkpoint broken("{{ messages | tojson }}");
  CHECK_FALSE(broken.engine->instructs());  // it can still fill in the middle
  CHECK_THROWS_WITH(broken.engine->encode_chat("a", "b"), doctest::Contains("the filter tojson is not known"));
}
