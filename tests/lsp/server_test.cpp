// The whole server without streams, model or editor: messages in, messages out, order forced by the test.
#include "lsp/server.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <latch>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <nlohmann/json.hpp>

#include "tests/lsp/loop_by_hand.h"

using Json = nlohmann::json;

namespace {

// An event loop that the test turns by hand, and a model that says what the test tells it to.
struct Fixture {
  tests::LoopByHand loop;
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

  Fixture() {
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

const char* add = "def add(a, b):\n    return \n";
constexpr const char* ghost = "textDocument/inlineCompletion";

}  // namespace

TEST_CASE("a suggestion from open to explain") {
  Fixture f;
  f.start();
  f.open(add);
  const Json result = f.ask(ghost, Fixture::at(1, 11))["result"];
  REQUIRE(result["items"].size() == 1);
  CHECK(result["items"][0]["insertText"] == "a + b");
  CHECK(result["items"][0]["range"]["start"] == Json({{"line", 1}, {"character", 11}}));
  const Json explained = f.ask("loopd/explain", Fixture::at(1, 11))["result"];
  CHECK(explained["text"] == "a + b");
  CHECK(explained["model"] == "test");
  CHECK(explained["loop_steps"].size() >= 2);
  CHECK(explained["position"]["line"] == 1);
  CHECK(f.ask("loopd/explain", Fixture::at(0, 0, 2, "file:///other"))["result"].is_null());
}

TEST_CASE("capabilities follow the client and the settings") {
  {
    Fixture f;
    const Json capabilities = f.initialize()["result"]["capabilities"];
    CHECK(capabilities.contains("inlineCompletionProvider"));
    CHECK_FALSE(capabilities.contains("completionProvider"));
  }
  {
    Fixture f;
    CHECK(f.initialize(true, {{"popup", true}})["result"]["capabilities"].contains("completionProvider"));
  }
  Fixture f;
  const Json capabilities = f.initialize(false)["result"]["capabilities"];
  CHECK_FALSE(capabilities.contains("inlineCompletionProvider"));
  CHECK(capabilities.contains("completionProvider"));
}

TEST_CASE("the popup gets an item that replaces the typed word") {
  Fixture f;
  f.start(false);
  f.says = "urn a";
  f.open("def add(a, b):\n    ret\n");
  const Json result = f.ask("textDocument/completion", Fixture::at(1, 7))["result"];
  REQUIRE(result["items"].size() == 1);
  CHECK(result["items"][0]["textEdit"]["newText"] == "return a");
  CHECK(result["items"][0]["textEdit"]["range"]["start"]["character"] == 4);
}

TEST_CASE("typing along a suggestion needs no model") {
  Fixture f;
  f.start();
  f.open(add);
  f.ask(ghost, Fixture::at(1, 11));
  CHECK(f.completions == 1);
  f.insert(1, 11, "a +");
  const Json result = f.ask(ghost, Fixture::at(1, 14))["result"];
  CHECK(result["items"][0]["insertText"] == " b");
  CHECK(f.completions == 1);
  f.insert(1, 14, "x");
  f.ask(ghost, Fixture::at(1, 15));
  CHECK(f.completions == 2);
}

TEST_CASE("who asks by a key gets several suggestions, each explained; who types gets one") {
  Fixture f;
  f.start();
  f.instead = {"b + a", "min(a, b)", "sum((a, b))"};
  f.open(add);
  using Texts = std::vector<std::string>;
  const auto texts = [&](int line, int character, int kind) {
    const Json answer = f.ask(ghost, Fixture::at(line, character, kind));
    std::vector<std::string> all;
    for (const Json& item : answer["result"]["items"]) all.push_back(item["insertText"]);
    return all;
  };
  CHECK(texts(1, 11, 2) == Texts{"a + b"});
  CHECK(f.completions == 1);
  CHECK(f.ask("loopd/explain", Fixture::at(1, 11))["result"]["alternatives"].empty());
  CHECK(texts(1, 11, 1) == Texts{"a + b", "b + a", "min(a, b)"});
  CHECK(f.completions == 4);
  const Json others = f.ask("loopd/explain", Fixture::at(1, 11))["result"]["alternatives"];
  REQUIRE(others.size() == 2);
  CHECK(others[1]["text"] == "min(a, b)");
  CHECK(others[1]["loop_steps"].size() >= 2);
  // VS Code asks again at each step of the cycle.
  CHECK(texts(1, 11, 1) == Texts{"a + b", "b + a", "min(a, b)"});
  CHECK(texts(1, 11, 2) == Texts{"a + b"});
  f.insert(1, 11, "min");
  CHECK(texts(1, 14, 2) == Texts{"(a, b)"});
  CHECK(f.completions == 4);
}

TEST_CASE("a newer request stops the further suggestions of an older one") {
  Fixture f;
  f.start();
  f.instead = {"b + a", "min(a, b)"};
  std::latch running(1);
  f.during = [&](const std::string& prefix, std::stop_token stop) {
    if (f.completions != 2 || prefix.ends_with("x")) return;
    running.count_down();
    while (!stop.stop_requested()) std::this_thread::yield();
  };
  f.open(add);
  const int older = f.request(ghost, Fixture::at(1, 11, 1));
  running.wait();
  f.insert(1, 11, "x");
  CHECK(f.ask(ghost, Fixture::at(1, 12))["result"]["items"].size() == 1);
  CHECK(f.answer(older)["result"].is_null());
  CHECK(f.completions == 3);  // the first two of the older request, and the newer one
}

TEST_CASE("in a pause the place behind the suggestion is completed, and asking there needs no model") {
  Fixture f;
  f.start();
  f.open(add);
  f.ask(ghost, Fixture::at(1, 11));
  CHECK(f.completions == 1);
  REQUIRE(f.timers.size() == 1);
  f.says = "\n";
  std::string seen;
  f.during = [&](const std::string& prefix, std::stop_token) { seen = prefix; };
  f.timers.back()();
  f.loop.turn();  // the job's end
  CHECK(f.completions == 2);
  CHECK(seen == "def add(a, b):\n    return a + b");
  // Taking it: the same text, at the same place.
  f.insert(1, 11, "a + b");
  f.ask(ghost, Fixture::at(1, 16));
  CHECK(f.completions == 2);
}

TEST_CASE("a key that follows the suggestion prepares nothing, one that leaves it does") {
  Fixture f;
  std::latch prepared(1);
  std::string along;
  f.on_prefill = [&](const std::string& prefix) {
    if (prefix.ends_with("return a")) along = prefix;
    if (prefix.ends_with("return az")) prepared.count_down();
  };
  f.start();
  f.open(add);
  f.ask(ghost, Fixture::at(1, 11));
  f.insert(1, 11, "a");
  f.ask(ghost, Fixture::at(1, 12));
  f.insert(1, 12, "z");
  prepared.wait();
  CHECK(along.empty());
  CHECK(f.completions == 1);
}

TEST_CASE("who types on is no pause, and background work is stopped by the next request") {
  Fixture f;
  f.start();
  f.open(add);
  f.ask(ghost, Fixture::at(1, 11));
  f.insert(1, 11, "x");
  REQUIRE(f.timers.size() == 1);
  f.timers.back()();
  f.ask(ghost, Fixture::at(1, 12));
  CHECK(f.completions == 2);  // the two requests

  std::latch running(1);
  f.during = [&](const std::string&, std::stop_token stop) {
    if (running.try_wait()) return;
    running.count_down();
    while (!stop.stop_requested()) std::this_thread::yield();
  };
  REQUIRE(f.timers.size() == 2);
  f.timers.back()();
  running.wait();
  f.insert(0, 0, "# ");
  CHECK(f.ask(ghost, Fixture::at(1, 12))["result"].is_object());
}

TEST_CASE("the newest request wins and the older one is answered null") {
  Fixture f;
  std::latch running(1);
  bool first = true;
  f.during = [&](const std::string&, std::stop_token stop) {
    if (!std::exchange(first, false)) return;
    running.count_down();
    while (!stop.stop_requested()) std::this_thread::yield();
  };
  f.start();
  f.open(add);
  const int older = f.request(ghost, Fixture::at(1, 11));
  running.wait();
  f.insert(1, 11, "z");
  const int newer = f.request(ghost, Fixture::at(1, 12));
  CHECK(f.answer(newer)["result"]["items"].size() == 1);
  CHECK(f.answer(older)["result"].is_null());
  CHECK_FALSE(f.find(older)->contains("error"));
}

TEST_CASE("a document is completed while another one's request is under way") {
  Fixture f;
  std::latch running(1), gate(1);
  f.during = [&](const std::string& prefix, std::stop_token) {
    if (!prefix.starts_with("long")) return;
    running.count_down();
    gate.wait();
  };
  f.start();
  f.open("long = \n");
  f.open(add, "file:///w/b.py");
  const int slow = f.request(ghost, Fixture::at(0, 7));
  running.wait();
  CHECK(f.ask(ghost, Fixture::at(1, 11, 2, "file:///w/b.py"))["result"]["items"].size() == 1);
  CHECK_FALSE(f.find(slow));
  gate.count_down();
  CHECK(f.answer(slow)["result"]["items"].size() == 1);
}

TEST_CASE("another model is loaded when nothing runs with the old one") {
  Fixture f;
  std::latch running(1), gate(1);
  std::atomic<int> inside = 0, seen = 0;
  f.during = [&](const std::string&, std::stop_token) {
    ++inside;
    running.count_down();
    gate.wait();
    --inside;
  };
  f.start();
  f.on_load = [&] { seen = inside.load(); };
  f.open(add);
  const int slow = f.request(ghost, Fixture::at(1, 11));
  running.wait();
  f.sent.clear();
  f.notify("workspace/didChangeConfiguration", {{"settings", {{"loopd", {{"model", "/other"}}}}}});
  gate.count_down();
  f.until_status("ready");
  CHECK(f.find(slow));
  CHECK(seen == 0);
}

TEST_CASE("edits are applied while the model works") {
  Fixture f;
  std::latch running(1), gate(1);
  bool first = true;
  f.during = [&](const std::string&, std::stop_token) {
    if (!std::exchange(first, false)) return;
    running.count_down();
    gate.wait();
  };
  f.start();
  f.open(add);
  const int id = f.request(ghost, Fixture::at(1, 11));
  running.wait();
  f.insert(1, 11, "x");
  gate.count_down();
  CHECK(f.answer(id)["result"]["items"][0]["insertText"] == "a + b");
  std::string seen;
  f.during = [&](const std::string& prefix, std::stop_token) { seen = prefix; };
  f.ask(ghost, Fixture::at(1, 12));
  CHECK(seen == "def add(a, b):\n    return x");
}

TEST_CASE("cancelling answers -32800 at once and stops the model") {
  Fixture f;
  std::latch running(1);
  f.during = [&](const std::string&, std::stop_token stop) {
    running.count_down();
    while (!stop.stop_requested()) std::this_thread::yield();
  };
  f.start();
  f.open(add);
  const int id = f.request(ghost, Fixture::at(1, 11));
  running.wait();
  f.notify("$/cancelRequest", {{"id", id}});
  REQUIRE(f.find(id));
  CHECK((*f.find(id))["error"]["code"] == -32800);
}

TEST_CASE("nothing to say is an empty list, never an error") {
  Fixture f;
  f.start(true, {{"languages", {"python"}}});
  f.open(add);
  f.open("SECRET=", "file:///w/.env", "");
  f.open("let x = ", "file:///w/a.rs", "rust");
  f.open("# about \n", "file:///w/c.py");
  for (const auto& row : {std::pair("file:///w/.env", 7), std::pair("file:///w/a.rs", 8), std::pair("file:///w/c.py", 8),
                          std::pair("file:///w/never", 0)}) {
    CAPTURE(row.first);
    CHECK(f.ask(ghost, Fixture::at(0, row.second, 2, row.first))["result"] == Json::parse(R"({"items":[]})"));
  }
  CHECK(f.completions == 0);
  const Json why = f.ask("loopd/explain", Fixture::at(0, 0, 2, "file:///w/.env"))["result"]["explain"];
  CHECK(why[0] == "the file is excluded (loopd.exclude)");
}

TEST_CASE("a model that cannot be loaded is said once, and requests get empty lists") {
  Fixture f;
  f.load_error = "models/x/config.json: no such file";
  f.initialize();
  f.until_status("error");
  CHECK((*f.notification("window/showMessage"))["params"]["message"] == "loopd: models/x/config.json: no such file");
  f.open(add);
  CHECK(f.ask(ghost, Fixture::at(1, 11))["result"]["items"].empty());
  CHECK(f.ask("loopd/generate", {{"prompt", "a"}})["error"]["code"] == -32803);
}

TEST_CASE("initialize does not wait for the model, and requests wait for it only so long") {
  std::latch gate(1);
  Fixture f;
  f.load_gate = &gate;
  f.initialize();
  f.open(add);
  const int impatient = f.request(ghost, Fixture::at(1, 11));
  REQUIRE(f.timers.size() == 1);
  f.timers[0]();
  CHECK((*f.find(impatient))["result"]["items"].empty());
  f.open(add, "file:///w/b.py");
  const int patient = f.request(ghost, Fixture::at(1, 11, 2, "file:///w/b.py"));
  gate.count_down();
  CHECK(f.answer(patient)["result"]["items"].size() == 1);
}

TEST_CASE("settings can change while running, and wrong ones are said") {
  Fixture f;
  f.start();
  f.open(add);
  f.notify("workspace/didChangeConfiguration", {{"settings", {{"loopd", {{"languages", {"rust"}}, {"maxTokens", "many"}}}}}});
  CHECK(f.notification("window/showMessage"));
  CHECK(f.ask(ghost, Fixture::at(1, 11))["result"]["items"].empty());
  f.notify("workspace/didChangeConfiguration", {{"settings", {{"loopd", {{"languages", Json::array()}}}}}});
  CHECK(f.ask(ghost, Fixture::at(1, 11))["result"]["items"].size() == 1);
}

TEST_CASE("while the popup is open the selected item is extended") {
  Fixture f;
  f.start();
  f.says = "(a, b)";
  f.open("def add(a, b):\n    return mi\n");
  Json params = Fixture::at(1, 13);
  params["context"]["selectedCompletionInfo"] = {
      {"text", "minimum"}, {"range", {{"start", {{"line", 1}, {"character", 11}}}, {"end", {{"line", 1}, {"character", 13}}}}}};
  std::string seen;
  f.during = [&](const std::string& prefix, std::stop_token) { seen = prefix; };
  const Json item = f.ask(ghost, params)["result"]["items"][0];
  CHECK(item["insertText"] == "minimum(a, b)");
  CHECK(item["range"] == params["context"]["selectedCompletionInfo"]["range"]);
  CHECK(seen == "def add(a, b):\n    return minimum");
}

TEST_CASE("own generation, and documents that close under a request") {
  Fixture f;
  f.start();
  CHECK(f.ask("loopd/generate", {{"prompt", "on"}})["result"]["text"] == "on and on");
  CHECK(f.ask("loopd/generate", Json::object())["error"]["code"] == -32602);
  std::latch running(1);
  f.during = [&](const std::string&, std::stop_token stop) {
    running.count_down();
    while (!stop.stop_requested()) std::this_thread::yield();
  };
  f.open(add);
  const int id = f.request(ghost, Fixture::at(1, 11));
  running.wait();
  f.notify("textDocument/didClose", {{"textDocument", {{"uri", "file:///w/a.py"}}}});
  CHECK(f.answer(id)["result"].is_null());
}

TEST_CASE("a failing model is an empty list and a line in the log") {
  Fixture f;
  f.start();
  f.during = [](const std::string&, std::stop_token) { throw std::runtime_error("out of memory"); };
  f.open(add);
  CHECK(f.ask(ghost, Fixture::at(1, 11))["result"]["items"].empty());
  CHECK(f.logged.back() == "completion failed: out of memory");
}
