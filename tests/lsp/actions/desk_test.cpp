// Code actions over the protocol: offered, carried out once, stopped within one call of the model, applied as the client can.
#include "lsp/actions/desk.h"

#include <doctest/doctest.h>

#include <latch>
#include <optional>
#include <thread>

#include "tests/lsp/fake_model.h"
#include "tests/lsp/loop_by_hand.h"

using Json = nlohmann::json;

namespace {

const char* const uri = "file:///nowhere/shop.py";

// What the model does while an action runs: says so, and goes on until it is stopped.
std::function<void(std::stop_token)> until_stopped(std::latch& running) {
  return [&running](std::stop_token stop) {
    running.count_down();
    while (!stop.stop_requested()) std::this_thread::yield();
  };
}

// An event loop that the test turns by hand, a client that answers what it is asked, a model that says `return a`.
struct Fixture {
  tests::LoopByHand loop;
  std::vector<Json> sent;
  lsp::Settings settings;
  tests::FakeModel model;
  lsp::ModelPort port;
  lsp::Dispatcher rpc{[this](std::string message) { sent.push_back(Json::parse(message)); }, [](const std::string&) {}};
  lsp::Documents documents{lsp::PositionEncoding::utf16, [](const std::string&) {}};
  lsp::Scheduler engine;
  std::shared_ptr<lsp::ActionDesk> desk;
  int next_id = 1;

  explicit Fixture(const Json& capabilities) {
    model.says = [](const std::string&, const std::string&) { return "return a\n"; };
    port = model.port();
    lsp::DeskHooks hooks;
    hooks.post = [this](std::function<void()> task) { loop.post(std::move(task)); };
    hooks.log = [](const std::string&) {};
    hooks.model = [this] { return &port; };
    hooks.settings = [this]() -> const lsp::Settings& { return settings; };
    hooks.relative = [](const std::string& path) { return path; };
    hooks.silence = [](const lsp::OpenDocument&) { return std::string(); };
    hooks.others = [](const std::string&) { return std::vector<context::OtherFile>(); };
    lsp::ActionReports reports;
    reports.last_suggestion = [](const std::string&) { return Json(nullptr); };
    reports.of = [](const lsp::ActionResult& result, const std::string& action) {
      return Json{{"action", action}, {"text", result.text}, {"files", Json::array()}};
    };
    desk = std::make_shared<lsp::ActionDesk>(rpc, documents, engine, hooks, reports);
    desk->set_client(lsp::read_initialize({{"capabilities", capabilities}}).capabilities, lsp::PositionEncoding::utf16);
    const auto request = [this](const char* method, void (lsp::ActionDesk::*handler)(const Json&, lsp::Reply&)) {
      rpc.on_request(method, [this, handler](const Json& params, lsp::Reply& reply) { ((*desk).*handler)(params, reply); });
    };
    rpc.on_request("initialize", [](const Json&, lsp::Reply& reply) { reply(Json::object()); });
    request("textDocument/codeAction", &lsp::ActionDesk::code_action);
    request("codeAction/resolve", &lsp::ActionDesk::resolve);
    request("workspace/executeCommand", &lsp::ActionDesk::execute);
    rpc.on_notification("cancel", [this](const Json& params) { desk->cancel_progress(params); });
    ask("initialize", Json::object());
    documents.open({uri, "python", 7, "def f(a):\n    pass\n"});
  }
  ~Fixture() {
    desk->stop();
    engine.stop();
  }

  int request(const std::string& method, const Json& params) {
    rpc.receive(Json{{"jsonrpc", "2.0"}, {"id", next_id}, {"method", method}, {"params", params}}.dump());
    return next_id++;
  }
  const Json* find(const std::function<bool(const Json&)>& wanted) const {
    for (const Json& message : sent) {
      if (wanted(message)) return &message;
    }
    return nullptr;
  }
  Json until(const std::function<bool(const Json&)>& wanted) {
    while (!find(wanted)) loop.turn();
    return *find(wanted);
  }
  Json ask(const std::string& method, const Json& params) {
    const int id = request(method, params);
    return until([&](const Json& message) { return !message.contains("method") && message.value("id", Json()) == id; });
  }
  std::size_t count(const std::string& method) const {
    return static_cast<std::size_t>(std::count_if(sent.begin(), sent.end(), [&](const Json& message) { return message.value("method", "") == method; }));
  }
  Json until_method(const std::string& method) {
    return until([&](const Json& message) { return message.value("method", "") == method; });
  }
  // The first action offered at the function.
  Json action() {
    const Json at = {{"line", 1}, {"character", 4}};
    const Json answer = ask("textDocument/codeAction", {{"textDocument", {{"uri", uri}}}, {"range", {{"start", at}, {"end", at}}}, {"context", {{"diagnostics", Json::array()}}}});
    REQUIRE_FALSE(answer["result"].empty());
    return answer["result"][0];
  }
};

const Json literals = {{"codeActionLiteralSupport", Json::object()}};
const Json all = {{"textDocument",
                   {{"codeAction", {{"codeActionLiteralSupport", Json::object()}, {"dataSupport", true}, {"resolveSupport", {{"properties", {"edit"}}}}, {"tagSupport", {{"valueSet", {1}}}}}}}},
                  {"workspace", {{"workspaceEdit", {{"documentChanges", true}, {"resourceOperations", {"create"}}}}}},
                  {"window", {{"workDoneProgress", true}}}};

}  // namespace

TEST_CASE("a command is answered at once and then applied, with the version it is for") {
  const Json capabilities = {{"textDocument", {{"codeAction", literals}}}, {"workspace", {{"workspaceEdit", {{"documentChanges", true}}}}}};
  Fixture f(capabilities);
  const Json action = f.action();
  std::latch gate(1);
  f.model.during = [&](std::stop_token) { gate.wait(); };
  CHECK(f.ask("workspace/executeCommand", action["command"])["result"].is_null());
  CHECK(f.count("workspace/applyEdit") == 0);
  gate.count_down();
  const Json edit = f.until_method("workspace/applyEdit")["params"]["edit"]["documentChanges"][0];
  CHECK(edit["textDocument"] == Json({{"uri", uri}, {"version", 7}}));
  CHECK(edit["edits"][0]["newText"] == "\n    return a");
  CHECK(edit["edits"][0]["range"]["start"] == Json({{"line", 0}, {"character", 9}}));
  CHECK(f.count("loopd/result") == 1);
}

TEST_CASE("clients without documentChanges get changes, and those without literals bare commands") {
  Fixture f(Json::object());
  const Json command = f.action();
  CHECK(command["command"] == "loopd.action");
  f.request("workspace/executeCommand", command);
  CHECK(f.until_method("workspace/applyEdit")["params"]["edit"]["changes"].contains(uri));
}

TEST_CASE("what was resolved is not carried out again by its command") {
  Fixture f(all);
  const Json action = f.action();
  CHECK(action["tags"] == Json({1}));
  const Json resolved = f.ask("codeAction/resolve", action)["result"];
  CHECK(resolved["edit"]["documentChanges"][0]["edits"][0]["newText"] == "\n    return a");
  CHECK(resolved["command"] == action["command"]);
  const std::size_t calls = f.model.prefixes.size();
  f.ask("workspace/executeCommand", action["command"]);
  CHECK(f.model.prefixes.size() == calls);
  CHECK(f.count("workspace/applyEdit") == 0);
  // A client that does not resolve edits gets its action back as it was.
  const Json capabilities = {{"textDocument", {{"codeAction", literals}}}};
  Fixture plain(capabilities);
  const Json other = plain.action();
  CHECK(plain.ask("codeAction/resolve", other)["result"] == other);
  CHECK(plain.model.prefixes.empty());
}

TEST_CASE("cancelling the progress stops the model within one call, and nothing is applied or said") {
  Fixture f(all);
  const Json action = f.action();
  std::latch running(1);
  bool stopped = false;
  f.model.during = [&](std::stop_token stop) {
    running.count_down();
    while (!stop.stop_requested()) std::this_thread::yield();
    stopped = true;
  };
  Json params = action["command"];
  params["workDoneToken"] = 5;
  f.request("workspace/executeCommand", params);
  running.wait();
  CHECK(f.until_method("$/progress")["params"]["value"]["kind"] == "begin");
  f.rpc.receive(R"({"jsonrpc":"2.0","method":"cancel","params":{"token":5}})");
  const Json end = f.until([](const Json& message) { return message.value("method", "") == "$/progress" && message["params"]["value"]["kind"] == "end"; });
  CHECK(end["params"]["token"] == 5);
  CHECK(stopped);
  CHECK(f.model.prefixes.size() == 1);
  CHECK(f.count("workspace/applyEdit") == 0);
  CHECK(f.count("window/showMessage") == 0);
  CHECK(f.count("loopd/result") == 0);
}

TEST_CASE("a command cancels as silently, whether the action was chosen by command or by resolving its edit") {
  for (const bool resolving : {false, true}) {
    CAPTURE(resolving);
    Fixture f(all);
    const Json action = f.action();
    std::latch running(1);
    f.model.during = until_stopped(running);
    const int id = resolving ? f.request("codeAction/resolve", action) : f.request("workspace/executeCommand", action["command"]);
    running.wait();
    CHECK(f.ask("workspace/executeCommand", {{"command", "loopd.cancel"}})["result"].is_null());
    const Json answer = f.until([&](const Json& message) { return message.value("id", Json()) == id && !message.contains("method"); });
    CHECK_FALSE(answer.contains("error"));
    CHECK_FALSE(answer["result"].contains("edit"));
    // Another action, whose end shows that nothing of the first one is still to come.
    f.model.during = [](std::stop_token) {};
    f.request("workspace/executeCommand", f.action()["command"]);
    f.until_method("workspace/applyEdit");
    CHECK(f.count("workspace/applyEdit") == 1);
    CHECK(f.count("window/showMessage") == 0);
    CHECK(f.count("loopd/result") == 1);
  }
}

TEST_CASE("a text that changes stops what is written for it") {
  Fixture f(all);
  const Json action = f.action();
  std::latch running(1);
  f.model.during = until_stopped(running);
  f.request("workspace/executeCommand", action["command"]);
  running.wait();
  f.desk->document_changed("file:///nowhere/other.py");
  f.desk->document_changed(uri);
  const int id = f.request("workspace/executeCommand", {{"command", "loopd.action"}, {"arguments", {action["data"]}}});
  f.until([&](const Json& message) { return message.value("id", Json()) == id && !message.contains("method"); });
  CHECK(f.count("workspace/applyEdit") == 0);
}

TEST_CASE("wrong commands and arguments are refused in one line, and unknown actions are said") {
  Fixture f(all);
  CHECK(f.ask("workspace/executeCommand", {{"command", "rm"}})["error"]["code"] == -32602);
  CHECK(f.ask("workspace/executeCommand", {{"command", "loopd.action"}})["error"]["code"] == -32602);
  CHECK(f.ask("workspace/executeCommand", {{"command", "loopd.module"}, {"arguments", {7}}})["error"]["code"] == -32602);
  Json ref = f.action()["data"];
  ref["action"] = "dance";
  CHECK(f.ask("workspace/executeCommand", {{"command", "loopd.action"}, {"arguments", {ref}}})["result"].is_null());
  CHECK(f.count("window/showMessage") == 1);
}

TEST_CASE("what a command says at once is said before it is answered") {
  // lsp-mode 8.0 loses what comes right behind an answer that it waits for, and eglot 1.9 puts it off.
  Fixture f(all);
  for (const char* action : {"explain", "dance"}) {
    Json ref = f.action()["data"];
    ref["action"] = action;
    f.sent.clear();
    f.ask("workspace/executeCommand", {{"command", "loopd.action"}, {"arguments", {ref}}});
    REQUIRE(f.sent.size() == 2);
    CHECK(f.sent[0]["method"] == "window/showMessage");
    CHECK(f.sent[1].contains("result"));
  }
}
