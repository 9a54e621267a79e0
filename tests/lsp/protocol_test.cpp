// Messages: what is read, what is refused and with which words, what is written.
#include "lsp/protocol.h"

#include <doctest/doctest.h>

#include <functional>
#include <string>

#include <nlohmann/json.hpp>

#include "lsp/json_rpc.h"

using lsp::Json;

namespace {

std::string refusal(const std::function<void(const Json&)>& read, const char* json) {
  try {
    read(Json::parse(json));
  } catch (const lsp::RequestError& error) {
    CHECK(error.code == lsp::ErrorCode::invalid_params);
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("refusals name the key and what it must be") {
  struct Row {
    std::function<void(const Json&)> read;
    const char* json;
    const char* expected;
  };
  const Row rows[] = {
      {lsp::read_initialize, "[]", "params must be an object"},
      {lsp::read_open, "null", "params.textDocument.uri is missing; it must be a string"},
      {lsp::read_open, R"({"textDocument":{"uri":1,"text":""}})", "params.textDocument.uri must be a string"},
      {lsp::read_open, R"({"textDocument":{"uri":"a"}})", "params.textDocument.text is missing; it must be a string"},
      {lsp::read_change, R"({"textDocument":{"uri":"a"}})", "params.contentChanges is missing; it must be an array"},
      {lsp::read_change, R"({"textDocument":{"uri":"a"},"contentChanges":[{"text":""},{}]})",
       "params.contentChanges[1].text is missing; it must be a string"},
      {lsp::read_change, R"({"textDocument":{"uri":"a"},"contentChanges":[{"text":"","range":{"start":{"line":0,"character":0}}}]})",
       "params.contentChanges[0].range.end.line is missing; it must be an integer that is not negative"},
      {lsp::read_position, R"({"textDocument":{"uri":"a"},"position":{"line":"1","character":0}})",
       "params.position.line must be an integer that is not negative"},
      {lsp::read_position, R"({"textDocument":{"uri":"a"},"position":{"line":1.5,"character":0}})",
       "params.position.line must be an integer that is not negative"},
      {lsp::read_position, R"({"textDocument":{"uri":"a"},"position":{"line":-1,"character":0}})",
       "params.position.line must be an integer that is not negative"},
      {lsp::read_generate, "{}", "params.prompt is missing; it must be a string"},
      {lsp::read_generate, R"({"prompt":"a","sampling_params":{"temperature":-1}})",
       "params.sampling_params.temperature must be a number from 0 to 100"},
      {lsp::read_generate, R"({"prompt":"a","sampling_params":{"loop_depth":"2"}})",
       "params.sampling_params.loop_depth must be a number from 1 to 64"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.json);
    CHECK(refusal(row.read, row.json) == row.expected);
  }
}

TEST_CASE("numbers are read as clients write them") {
  const auto read = [](const char* line) {
    return lsp::read_position(Json::parse(std::string(R"({"textDocument":{"uri":"a"},"position":{"character":0,"line":)") + line + "}}")).position.line;
  };
  CHECK(read("3") == 3);
  CHECK(read("3.0") == 3);
  CHECK(read("4294967295") == 2147483647);
  CHECK(read("18446744073709551615") == 2147483647);
  CHECK(read("1e300") == 2147483647);
}

TEST_CASE("initialize is read from what seven clients send, and from nothing") {
  const auto none = lsp::read_initialize(Json());
  CHECK(none.roots.empty());
  CHECK_FALSE(none.capabilities.inline_completion);
  const auto full = lsp::read_initialize(Json::parse(R"({
    "processId": 12, "clientInfo": {"name": "Neovim", "version": "0.12.4"}, "rootUri": "file:///r",
    "workspaceFolders": [{"uri": "file:///a", "name": "a"}, {"uri": "file:///b"}, 7],
    "capabilities": {
      "general": {"positionEncodings": ["utf-8", "utf-16", 3]},
      "workspace": {"configuration": true},
      "textDocument": {
        "inlineCompletion": {"dynamicRegistration": false},
        "completion": {"completionItem": {"snippetSupport": true, "insertTextModeSupport": {"valueSet": [1, 2]}}}}}})"));
  CHECK(full.client_name == "Neovim");
  CHECK(full.process_id == 12);
  CHECK(full.roots == std::vector<std::string>{"file:///a", "file:///b"});
  CHECK(full.capabilities.position_encodings == std::vector<std::string>{"utf-8", "utf-16"});
  CHECK(full.capabilities.inline_completion);
  CHECK(full.capabilities.snippets);
  CHECK(full.capabilities.insert_text_mode_as_is);
  CHECK(full.capabilities.pulls_configuration);
  const auto old = lsp::read_initialize(Json::parse(R"({"rootUri":"file:///r","workspaceFolders":null,"capabilities":{"textDocument":5}})"));
  CHECK(old.roots == std::vector<std::string>{"file:///r"});
}

TEST_CASE("capabilities are offered as asked") {
  const Json ghost = lsp::initialize_result({lsp::PositionEncoding::utf8, true, false, "1"});
  CHECK(ghost["capabilities"]["positionEncoding"] == "utf-8");
  CHECK(ghost["capabilities"]["inlineCompletionProvider"] == true);
  CHECK_FALSE(ghost["capabilities"].contains("completionProvider"));
  CHECK(ghost["capabilities"]["textDocumentSync"]["change"] == 2);
  const Json popup = lsp::initialize_result({lsp::PositionEncoding::utf16, false, true, "1"});
  CHECK_FALSE(popup["capabilities"].contains("inlineCompletionProvider"));
  CHECK(popup["capabilities"]["completionProvider"].is_object());
  CHECK(popup["serverInfo"] == Json({{"name", "loopd"}, {"version", "1"}}));
}

TEST_CASE("items and lists") {
  CHECK(to_json(std::vector<lsp::InlineCompletionItem>{}) == Json::parse(R"({"items":[]})"));
  CHECK(to_json(std::vector<lsp::InlineCompletionItem>{{"x", {{1, 2}, {1, 3}}}}) ==
        Json::parse(R"({"items":[{"insertText":"x","range":{"start":{"line":1,"character":2},"end":{"line":1,"character":3}}}]})"));
  CHECK(to_json(std::vector<lsp::CompletionItem>{}, "c") == Json::parse(R"({"isIncomplete":true,"items":[]})"));
  lsp::CompletionItem item;
  item.label = "l";
  item.new_text = "n";
  item.snippet = item.as_is = true;
  const Json list = to_json(std::vector{item}, "c");
  CHECK(list["items"][0]["insertTextFormat"] == 2);
  CHECK(list["items"][0]["insertTextMode"] == 1);
  CHECK(list["items"][0]["textEdit"]["newText"] == "n");
  CHECK_FALSE(list["items"][0].contains("documentation"));
}

TEST_CASE("settings are found where clients put them") {
  CHECK(lsp::configuration_request() == Json::parse(R"({"items":[{"section":"loopd"}]})"));
  CHECK(lsp::configuration_answer(Json::parse(R"([{"a":1}])")) == Json::parse(R"({"a":1})"));
  CHECK(lsp::configuration_answer(Json()).is_null());
  CHECK(lsp::changed_settings(Json::parse(R"({"settings":{"loopd":{}}})")) == Json::parse(R"({"loopd":{}})"));
  CHECK(lsp::changed_settings(Json()).is_null());
  CHECK(lsp::initialization_options(Json::parse(R"({"initializationOptions":{"a":1}})")) == Json::parse(R"({"a":1})"));
}

TEST_CASE("a generation request with all its parameters") {
  const auto read = lsp::read_generate(Json::parse(
      R"({"prompt":"p","suffix":"s","sampling_params":{"temperature":0.5,"top_p":0.9,"max_tokens":7,"loop_depth":3,"seed":42}})"));
  CHECK(read.prompt == "p");
  CHECK(read.suffix == "s");
  CHECK(read.temperature == 0.5);
  CHECK(read.top_p == 0.9);
  CHECK(read.max_tokens == 7);
  CHECK(read.loop_depth == 3);
  CHECK(read.seed == 42);
}
