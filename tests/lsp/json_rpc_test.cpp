// JSON-RPC: who is answered, how often, and with which error.
#include "lsp/json_rpc.h"

#include <doctest/doctest.h>

#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

using lsp::Dispatcher;
using lsp::ErrorCode;
using lsp::Json;
using lsp::Reply;

namespace {

struct Fixture {
  std::vector<Json> sent;
  std::vector<std::string> logged;
  std::vector<Reply> kept;
  Dispatcher rpc{[this](std::string message) { sent.push_back(Json::parse(message)); },
                 [this](const std::string& line) { logged.push_back(line); }};

  Fixture() {
    rpc.on_request("initialize", [](const Json&, Reply& reply) { reply(Json::object()); });
    rpc.on_request("echo", [](const Json& params, Reply& reply) { reply(params); });
    rpc.on_request("later", [this](const Json&, Reply& reply) { kept.push_back(std::move(reply)); });
    rpc.on_request("drop", [](const Json&, Reply&) {});
    rpc.on_request("twice", [](const Json&, Reply& reply) {
      reply(1);
      reply(2);
    });
    rpc.on_request("refuse", [](const Json&, Reply&) { throw lsp::RequestError(ErrorCode::invalid_params, "params.x is missing"); });
    rpc.on_request("fail", [](const Json&, Reply&) { throw std::runtime_error("broken"); });
    rpc.on_request("moved then fail", [this](const Json&, Reply& reply) {
      kept.push_back(std::move(reply));
      throw std::runtime_error("broken");
    });
  }

  // Sends a message and gives what came back for it, as compact text; several answers are joined by blanks.
  std::string ask(const std::string& message) {
    sent.clear();
    rpc.receive(message);
    return answers();
  }
  std::string answers() const {
    std::string text;
    for (const Json& one : sent) {
      if (!text.empty()) text += " ";
      text += one.contains("error") ? one["id"].dump() + "!" + std::to_string(one["error"]["code"].get<int>())
                                    : one["id"].dump() + "=" + one["result"].dump();
    }
    return text;
  }
  std::string request(const std::string& method, const std::string& id = "1") {
    return ask("{\"jsonrpc\":\"2.0\",\"id\":" + id + ",\"method\":\"" + method + "\",\"params\":[\"p\"]}");
  }
  std::string notify(const std::string& method, const std::string& params = "{}") {
    return ask("{\"jsonrpc\":\"2.0\",\"method\":\"" + method + "\",\"params\":" + params + "}");
  }
};

}  // namespace

TEST_CASE("the lifecycle decides what is allowed") {
  Fixture f;
  CHECK(f.request("echo") == "1!-32002");
  CHECK(f.request("no/such") == "1!-32002");
  CHECK(f.request("initialize") == "1={}");
  CHECK(f.request("initialize") == "1!-32600");
  CHECK(f.request("echo") == "1=[\"p\"]");
  CHECK(f.request("shutdown") == "1=null");
  CHECK(f.request("echo") == "1!-32600");
  CHECK(f.rpc.exit_code() == 0);
  CHECK_FALSE(f.rpc.exited());
  CHECK(f.notify("exit") == "");
  CHECK(f.rpc.exited());
}

TEST_CASE("exit without shutdown ends with code 1") {
  Fixture f;
  f.notify("exit");
  CHECK(f.rpc.exited());
  CHECK(f.rpc.exit_code() == 1);
}

TEST_CASE("an initialize that failed may be repeated") {
  Fixture f;
  bool first = true;
  f.rpc.on_request("initialize", [&](const Json&, Reply& reply) {
    if (std::exchange(first, false)) throw lsp::RequestError(ErrorCode::invalid_params, "no");
    reply(nullptr);
  });
  CHECK(f.request("initialize") == "1!-32602");
  CHECK(f.request("initialize") == "1=null");
}

TEST_CASE("messages are answered, refused or ignored") {
  Fixture f;
  f.request("initialize");
  const std::pair<const char*, const char*> rows[] = {
      {R"({"jsonrpc":"2.0","id":1,"method":"no/such"})", "1!-32601"},
      {R"({"jsonrpc":"2.0","id":1,"method":"$/unknown"})", "1!-32601"},
      {R"({"jsonrpc":"2.0","method":"no/such"})", ""},
      {R"({"jsonrpc":"2.0","method":"$/unknown","params":{}})", ""},
      {R"({"jsonrpc":"2.0","id":"s","method":"echo"})", "\"s\"=null"},
      {R"({"jsonrpc":"2.0","id":"","method":"echo","params":{"a":1}})", "\"\"={\"a\":1}"},
      {R"({"jsonrpc":"2.0","id":-7,"method":"echo"})", "-7=null"},
      {R"({"jsonrpc":"2.0","id":null,"method":"echo"})", "null!-32600"},
      {R"({"jsonrpc":"2.0","id":[1],"method":"echo"})", "null!-32600"},
      {R"({"jsonrpc":"2.0","id":3,"method":5})", "3!-32600"},
      {R"({"id":3,"method":"echo"})", "3!-32600"},
      {R"({"jsonrpc":"1.0","id":3,"method":"echo"})", "3!-32600"},
      {R"({"jsonrpc":"2.0","id":99,"result":1})", ""},
      {R"([])", "null!-32600"},
      {R"([{"jsonrpc":"2.0","id":1,"method":"echo"}])", "null!-32600"},
      {R"(42)", "null!-32600"},
      {R"(null)", "null!-32600"},
      {R"({"jsonrpc":"2.0","id":1,)", "null!-32700"},
      {R"()", "null!-32700"},
      {R"({}{})", "null!-32700"},
      {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\"}", "null!-32700"},
      {R"({"jsonrpc":"2.0","id":1,"method":"drop"})", "1!-32603"},
      {R"({"jsonrpc":"2.0","id":1,"method":"twice"})", "1=1"},
      {R"({"jsonrpc":"2.0","id":1,"method":"refuse"})", "1!-32602"},
      {R"({"jsonrpc":"2.0","id":1,"method":"fail"})", "1!-32603"},
  };
  for (const auto& row : rows) {
    CAPTURE(row.first);
    CHECK(f.ask(row.first) == row.second);
  }
}

TEST_CASE("only what is no JSON is given back to the framing") {
  Fixture f;
  CHECK_FALSE(f.rpc.receive("{"));
  CHECK(f.rpc.receive("42"));
}

TEST_CASE("half a surrogate pair becomes U+FFFD, so that later columns stay right") {
  Fixture f;
  f.request("initialize");
  f.ask(R"({"jsonrpc":"2.0","id":1,"method":"echo","params":["\ud83d","a\ude00","\ud83d\ude00","\\ud83d","\ud83d\ud83d\ude00"]})");
  REQUIRE(f.sent.size() == 1);
  CHECK(f.sent[0]["result"] == Json({"\uFFFD", "a\uFFFD", "😀", "\\ud83d", "\uFFFD😀"}));
}

TEST_CASE("nesting that would exhaust the stack is refused") {
  Fixture f;
  const std::string deep = std::string(100000, '[') + std::string(100000, ']');
  CHECK(f.ask(R"({"jsonrpc":"2.0","id":1,"method":"echo","params":)" + deep + "}") == "null!-32700");
  CHECK(f.ask(R"({"jsonrpc":"2.0","id":1,"method":"initialize","params":{"text":"[[[[[[[[[[[[[[[[[[[[[[[[[["}})") == "1={}");
}

TEST_CASE("cancelling answers at once, stops the work and silences the late answer") {
  Fixture f;
  f.request("initialize");
  CHECK(f.request("later", "5") == "");
  CHECK(f.notify("$/cancelRequest", R"({"id":5})") == "5!-32800");
  REQUIRE(f.kept.size() == 1);
  CHECK(f.kept[0].cancelled().stop_requested());
  f.sent.clear();
  f.kept[0](1);
  CHECK(f.answers() == "");
}

TEST_CASE("a late answer does not reach a newer request with the same id") {
  Fixture f;
  f.request("initialize");
  f.request("later", "5");
  f.notify("$/cancelRequest", R"({"id":5})");
  f.request("later", "5");
  f.sent.clear();
  f.kept[0]("old");
  CHECK(f.answers() == "");
  f.kept[1]("new");
  CHECK(f.answers() == "5=\"new\"");
}

TEST_CASE("cancelling what does not run changes nothing") {
  Fixture f;
  f.request("initialize");
  for (const char* params : {R"({"id":5})", R"({"id":"x"})", R"({"id":{"a":1}})", "{}", "[]", "null"}) {
    CHECK(f.notify("$/cancelRequest", params) == "");
  }
}

TEST_CASE("an id in use is refused, and the first request still gets its answer") {
  Fixture f;
  f.request("initialize");
  f.request("later", "5");
  CHECK(f.request("echo", "5") == "5!-32600");
  f.sent.clear();
  f.kept[0](1);
  CHECK(f.answers() == "5=1");
}

TEST_CASE("a reply that is moved away and dropped answers with an error") {
  Fixture f;
  f.request("initialize");
  f.request("later", "5");
  f.kept.clear();
  CHECK(f.answers() == "5!-32603");
  CHECK(f.request("moved then fail", "6") == "");
  f.kept[0](1);
  CHECK(f.answers() == "6=1");
}

TEST_CASE("replies that outlive the dispatcher are silent") {
  std::optional<Reply> kept;
  int sent = 0;
  {
    Dispatcher rpc([&](std::string) { ++sent; }, [](const std::string&) {});
    rpc.on_request("initialize", [&](const Json&, Reply& reply) { kept.emplace(std::move(reply)); });
    rpc.receive(R"({"jsonrpc":"2.0","id":1,"method":"initialize"})");
  }
  CHECK(kept->cancelled().stop_requested());
  (*kept)(1);
  kept.reset();
  CHECK(sent == 0);
}

TEST_CASE("our own requests get their result, and errors are logged") {
  Fixture f;
  f.request("initialize");
  f.sent.clear();
  Json result;
  f.rpc.request("workspace/configuration", {{"items", 1}}, [&](const Json& json) { result = json; });
  f.rpc.request("workspace/configuration", nullptr, [&](const Json&) { FAIL("an error is no result"); });
  CHECK(f.sent[0]["id"] == 1);
  CHECK(f.sent[0]["method"] == "workspace/configuration");
  f.rpc.receive(R"({"jsonrpc":"2.0","id":1,"result":[7]})");
  CHECK(result == Json({7}));
  f.rpc.receive(R"({"jsonrpc":"2.0","id":2,"error":{"code":1,"message":"no"}})");
  CHECK(f.logged.size() == 1);
}

TEST_CASE("text is valid UTF-8 whatever the bytes") {
  CHECK(lsp::to_text(Json("a\xff" "b")) == "\"a\uFFFD" "b\"");
}
