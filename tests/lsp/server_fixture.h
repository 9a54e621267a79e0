// The whole server without streams, model or editor, for tests: messages in, messages out, order forced by the test.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <latch>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "lsp/server.h"
#include "tests/lsp/loop_by_hand.h"

namespace tests {

using Json = nlohmann::json;

// An event loop that the test turns by hand, and a model that says what the test tells it to.
struct ServerFixture {
  LoopByHand loop;
  std::vector<std::function<void()>> timers;
  std::vector<Json> sent;
  std::vector<std::string> logged;
  std::string says = "a + b";
  std::vector<std::string> instead;  // said where the beginning of what comes before it is banned
  std::string load_error;
  std::atomic<int> completions = 0;
  // Called by the model while it completes.
  std::function<void(const std::string& prefix, std::stop_token)> during = [](const std::string&, std::stop_token) {};
  // Called where a prompt is made ready before anybody asks.
  std::function<void(const std::string& prefix)> on_prefill = [](const std::string&) {};
  std::latch* load_gate = nullptr;
  std::function<void()> on_load = [] {};
  std::optional<lsp::Server> server;
  int next_id = 1;

  ServerFixture() {
    lsp::ServerHooks hooks;
    hooks.send = [this](std::string message) { sent.push_back(Json::parse(message)); };
    hooks.post = [this](std::function<void()> task) { loop.post(std::move(task)); };
    hooks.after = [this](std::chrono::milliseconds, std::function<void()> task) { timers.push_back(std::move(task)); };
    hooks.log = [this](const std::string& line) { logged.push_back(line); };
    server.emplace(hooks, lsp::Settings{}, [this](const lsp::Settings&) { return load(); });
  }

  lsp::LoadedModel load() {
    if (load_gate) load_gate->wait();
    on_load();
    if (!load_error.empty()) throw std::runtime_error(load_error);
    lsp::LoadedModel loaded;
    loaded.model = "test";
    loaded.device = "cpu";
    loaded.summary = "test on cpu";
    loaded.port.max_depth = 6;
    loaded.port.count = [](std::string_view text) { return text.size(); };
    loaded.port.token_bytes = [](inference::TokenId) { return std::size_t{1}; };
    loaded.port.prefill = [this](const std::string&, const inference::FimPrompt& prompt, int, std::stop_token) { on_prefill(std::string(prompt.prefix)); };
    loaded.port.generate = [this](const std::string&, const inference::FimPrompt& prompt, const inference::GenerateParams& params,
                                  std::stop_token stop) {
      ++completions;
      during(std::string(prompt.prefix), stop);
      inference::GenerateResult result;
      std::vector<std::string> texts{says};
      texts.insert(texts.end(), instead.begin(), instead.end());
      const auto allowed = [&](const std::string& text) {
        return std::find(params.banned_first.begin(), params.banned_first.end(), text.front()) == params.banned_first.end();
      };
      const auto text = std::find_if(texts.begin(), texts.end(), allowed);
      if (text != texts.end()) result.text = *text;
      for (const char c : result.text) result.tokens.push_back(c);
      return result;
    };
    loaded.generate = [](const lsp::Sessions::GenerateRequest& request, std::stop_token) {
      inference::GenerateResult result;
      result.text = request.prompt + " and on";
      return result;
    };
    return loaded;
  }

  void notify(const std::string& method, const Json& params) {
    server->receive(Json{{"jsonrpc", "2.0"}, {"method", method}, {"params", params}}.dump());
  }
  int request(const std::string& method, const Json& params) {
    server->receive(Json{{"jsonrpc", "2.0"}, {"id", next_id}, {"method", method}, {"params", params}}.dump());
    return next_id++;
  }
  // The answer if it has been sent.
  const Json* find(int id) const {
    for (const Json& message : sent) {
      if (!message.contains("method") && message["id"] == id) return &message;
    }
    return nullptr;
  }
  Json answer(int id) {
    while (!find(id)) loop.turn();
    return *find(id);
  }
  Json ask(const std::string& method, const Json& params) { return answer(request(method, params)); }
  const Json* notification(const std::string& method, const std::string& state = "") const {
    for (const Json& message : sent) {
      if (message.value("method", "") == method && (state.empty() || message["params"]["state"] == state)) return &message;
    }
    return nullptr;
  }
  void until_status(const std::string& state) {
    while (!notification("loopd/status", state)) loop.turn();
  }

  Json initialize(bool ghost = true, const Json& options = nullptr) {
    Json capabilities = Json::object();
    if (ghost) capabilities["textDocument"]["inlineCompletion"] = Json::object();
    return ask("initialize", {{"processId", nullptr},
                              {"clientInfo", {{"name", "Visual Studio Code"}, {"version", "1.100"}}},
                              {"workspaceFolders", {{{"uri", "file:///w"}, {"name", "w"}}}},
                              {"capabilities", capabilities},
                              {"initializationOptions", options}});
  }
  void start(bool ghost = true, const Json& options = nullptr) {
    initialize(ghost, options);
    until_status("ready");
    notify("initialized", Json::object());
  }
  void open(const std::string& text, const std::string& uri = "file:///w/a.py", const std::string& language = "python") {
    notify("textDocument/didOpen", {{"textDocument", {{"uri", uri}, {"languageId", language}, {"version", 1}, {"text", text}}}});
  }
  void insert(int line, int character, const std::string& text) {
    const Json at = {{"line", line}, {"character", character}};
    notify("textDocument/didChange", {{"textDocument", {{"uri", "file:///w/a.py"}, {"version", ++version}}},
                                      {"contentChanges", {{{"range", {{"start", at}, {"end", at}}}, {"text", text}}}}});
  }
  static Json at(int line, int character, int kind = 2, const std::string& uri = "file:///w/a.py") {
    return {{"textDocument", {{"uri", uri}}}, {"position", {{"line", line}, {"character", character}}}, {"context", {{"triggerKind", kind}}}};
  }
  int version = 1;
};

inline const char* const add = "def add(a, b):\n    return \n";
inline constexpr const char* ghost = "textDocument/inlineCompletion";

}  // namespace tests
