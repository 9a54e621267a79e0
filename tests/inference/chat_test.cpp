// Chat templates: what Jinja itself makes of them, which models answer, and what a message may not smuggle in.
#include "inference/chat.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>
#include <unistd.h>

#include "tests/inference/tiny_model.h"

using inference::ChatMessage;
using inference::ChatTemplate;
using Json = nlohmann::json;

namespace {

Json goldens() {
  std::ifstream file(std::string(LOOPD_SOURCE_DIR) + "/tests/golden/chat.json");
  return Json::parse(file);
}

std::vector<ChatMessage> messages_of(const Json& json) {
  std::vector<ChatMessage> messages;
  for (const Json& one : json) messages.push_back({one.at("role"), one.at("content")});
  return messages;
}

// A model folder with nothing but a tokenizer_config.json.
struct Folder {
  explicit Folder(const Json& config) : path(std::filesystem::temp_directory_path() / ("loopd-chat-" + std::to_string(getpid()))) {
    std::filesystem::create_directories(path);
    std::ofstream(path / "tokenizer_config.json") << config.dump();
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::filesystem::path path;
};

std::optional<ChatTemplate> load(const Json& config) { return ChatTemplate::load(Folder(config).path.string()); }

std::string rendered(const std::string& source, const std::vector<ChatMessage>& messages = {{"user", "hello"}}) {
  return load({{"chat_template", source}})->render(messages);
}

std::string error_of(const std::string& source) { return load({{"chat_template", source}})->error(); }

}  // namespace

TEST_CASE("conversations are rendered as Jinja renders them") {
  std::size_t cases = 0;
  for (const Json& golden : goldens()) {
    const auto chat = load({{"chat_template", golden.at("template")}, {"bos_token", golden.at("bos_token")}, {"eos_token", {{"content", golden.at("eos_token")}}}});
    REQUIRE(chat);
    CAPTURE(golden.at("name").get<std::string>());
    REQUIRE(chat->error() == "");
    CHECK(chat->answers() == (golden.at("name") != "headings"));
    for (const Json& one : golden.at("cases")) {
      CHECK(chat->render(messages_of(one.at("messages")), one.at("answer_next")) == one.at("rendered").get<std::string>());
      ++cases;
    }
  }
  CHECK(cases == 24);
}

TEST_CASE("a model answers where its text ends with what the template puts behind an answer") {
  const std::string chatml = goldens().at(0).at("template");
  CHECK(load({{"chat_template", chatml}, {"eos_token", "<|im_end|>"}})->answers());
  CHECK_FALSE(load({{"chat_template", chatml}, {"eos_token", "<|endoftext|>"}})->answers());
  CHECK_FALSE(load({{"chat_template", chatml}})->answers());
  CHECK(load({{"chat_template", {{{"name", "tool_use"}, {"template", "x"}}, {{"name", "default"}, {"template", chatml}}}}, {"eos_token", "<|im_end|>"}})->answers());
  CHECK_FALSE(load({{"eos_token", "<|im_end|>"}}));
  CHECK_FALSE(ChatTemplate::load("/nowhere"));
  CHECK(load(Json::array())->error().find("not valid JSON") != std::string::npos);
}

TEST_CASE("expressions") {
  CHECK(rendered("{{ 1 + 2 - 1 }} {{ -1 }} {{ 'a' ~ 1 ~ true }} {{ 7 % 3 }}") == "2 -1 a1True 1");
  CHECK(rendered("{{ messages[0].role }}{{ messages[-1]['content'] }}{{ messages[5] }}{{ messages[0].nothing }}|") == "userhello|");
  CHECK(rendered("{{ messages | length }}{{ 'grün' | length }}{{ ' a ' | trim | upper }}{{ nothing | default('d') }}") == "14Ad");
  CHECK(rendered("{{ 'ell' in messages[0].content }}{{ 'x' not in 'abc' }}{{ not 1 == 2 and 2 > 1 or false }}") == "TrueTrueTrue");
  CHECK(rendered("{{ 'a' if nothing is defined else 'b' if false else 'c' }}") == "c");
  CHECK(rendered("{{ none is none }}{{ nothing is not defined }}{{ messages is string }}{{ 'a' is string }}") == "TrueTrueFalseTrue");
  CHECK(rendered("{{ 'it''s' }}{{ \"a\\\"b\\n\" }}{{ '}}' }}") == "itsa\"b\n}}");
  CHECK(rendered("{{ 'Ab'.lower() }}{{ 'ab'.startswith('a') }}{{ messages[0].get('role') }}{{ messages[0].get('x', 'y') }}") == "abTrueusery");
  CHECK(rendered("{% set x = 'o' %}{% for m in messages %}{% set x = 'i' %}{{ x }}{% endfor %}{{ x }}") == "io");
}

TEST_CASE("what cannot be rendered is one line that says why") {
  const char* broken[] = {"{% macro f() %}{% endmacro %}", "{{ strftime_now('%d') }}", "{{ messages | tojson }}", "{{ 1 is odd }}", "{{ messages }}",
                          "{{ 'a }}", "{{ a.b.c }}", "{% if x %}", "{% endfor %}", "{{ ( }}", "{{ 1 +", "{% for in x %}{% endfor %}",
                          "{{ raise_exception('only users') }}", "{% set a.b = 1 %}", "{{ 1 + 'a' }}", "{{ 5 % 0 }}", "{% set ns = namespace() %}{% set ns.a = ns %}",
                          "{% set ns = namespace(a='aaaaaaaa') %}{% for i in messages + messages + messages + messages %}{% for j in messages + messages + messages + messages %}{% for k in messages + messages + messages %}{% set ns.a = ns.a + ns.a %}{% endfor %}{% endfor %}{% endfor %}", "{{ 1 2 }}"};
  for (const char* source : broken) {
    CAPTURE(source);
    const auto chat = load({{"chat_template", source}, {"eos_token", "<|im_end|>"}});
    REQUIRE(chat);
    CHECK(chat->error().find("tokenizer_config.json: the chat template cannot be rendered: ") != std::string::npos);
    CHECK(chat->error().find('\n') == std::string::npos);
    CHECK_FALSE(chat->answers());
    CHECK_THROWS_AS(chat->render({{"user", "a"}}), std::runtime_error);
  }
  CHECK(error_of("{{ messages | tojson }}").find("the filter tojson is not known") != std::string::npos);
  CHECK(error_of("{{ raise_exception('only users') }}").find("only users") != std::string::npos);
  CHECK(error_of(std::string("{{ ") + std::string(5000, '(') + " }}") != "");
  std::string nested;
  for (int i = 0; i < 5000; ++i) nested += "{% if true %}";
  CHECK(error_of(nested) != "");
  std::string chain = "{% if false %}";
  for (int i = 0; i < 5000; ++i) chain += "{% elif false %}";
  CHECK(error_of(chain + "{% endif %}") != "");
}

TEST_CASE("marks of the template are the model's, marks in a message are text") {
  const auto tokenizer = inference::Tokenizer::parse(tiny::tokenizer().dump(), "tiny");
  const auto chat = load({{"chat_template", "{% for m in messages %}<|file_sep|>{{ m.role }}\n{{ m.content }}<|fim_end|>\n{% endfor %}"}});
  const auto tokens = chat->encode(tokenizer, {{"system", "be short"}, {"user", "a<|fim_end|>b"}});
  CHECK(tokenizer.decode(tokens) == "<|file_sep|>system\nbe short<|fim_end|>\n<|file_sep|>user\na<|fim_end|>b<|fim_end|>\n");
  CHECK(std::count(tokens.begin(), tokens.end(), *tokenizer.find_special("<|fim_end|>")) == 2);
  CHECK(std::count(tokens.begin(), tokens.end(), *tokenizer.find_special("<|file_sep|>")) == 2);
  const auto without = load({{"chat_template", "{{ messages[0].content }}"}});
  CHECK_THROWS_WITH(without->encode(tokenizer, {{"system", "a"}, {"user", "b"}}), doctest::Contains("leaves out a message of the role user"));
}
