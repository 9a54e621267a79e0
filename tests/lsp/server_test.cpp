// The whole server: lifecycle, settings, loading, cancelling, and how requests meet.
#include "lsp/server.h"

#include <doctest/doctest.h>

#include <atomic>
#include <latch>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include "tests/lsp/server_fixture.h"

using tests::add;
using tests::ghost;
using tests::Json;
using Fixture = tests::ServerFixture;

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
