// What a completion request is answered with, over the whole server: from the model, from what is known, or with nothing.
#include "lsp/completion_desk.h"

#include <doctest/doctest.h>

#include <latch>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/lsp/server_fixture.h"

using tests::add;
using tests::ghost;
using tests::Json;
using Fixture = tests::ServerFixture;

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
