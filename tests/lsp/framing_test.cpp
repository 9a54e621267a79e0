// Framing: any chunking gives the same messages, and malformed bytes cost one error and nothing else.
#include "lsp/framing.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace {

// Each message as it is, each error as "!" and its text.
std::vector<std::string> read(const std::string& bytes, std::size_t chunk) {
  lsp::Framer framer;
  std::vector<std::string> found;
  for (std::size_t at = 0; at < bytes.size(); at += chunk) {
    framer.feed(std::string_view(bytes).substr(at, chunk));
    while (const auto message = framer.next()) {
      found.push_back(message->ok ? message->text : "!" + message->text);
      // As the server does: what is obviously no JSON is given back.
      if (message->ok && (message->text.empty() || message->text.front() != '{' || message->text.back() != '}')) {
        framer.reject_last();
      }
    }
  }
  return found;
}

struct Case {
  const char* name;
  std::string bytes;
  std::vector<std::string> expected;
};

const std::string good = lsp::frame("{\"a\":1}");

const std::vector<Case> cases = {
    {"two messages", good + lsp::frame("{}"), {"{\"a\":1}", "{}"}},
    {"UTF-8 counts in bytes", lsp::frame("{\"a\":\"ü😀\"}"), {"{\"a\":\"ü😀\"}"}},
    {"names in any case, any order", "content-TYPE: x\r\ncontent-length:2\r\n\r\n{}", {"{}"}},
    {"bare line feeds", "Content-Length: 2\n\n{}", {"{}"}},
    {"blank lines between messages", "\r\n\r\n" + good + "\n" + good, {"{\"a\":1}", "{\"a\":1}"}},
    {"no length", "Content-Type: x\r\n\r\n{}" + good, {"!the input has a header without Content-Length", "{\"a\":1}"}},
    {"no number", "Content-Length: two\r\n\r\n{}" + good, {"!the input has a Content-Length that is no number", "{\"a\":1}"}},
    {"negative", "Content-Length: -2\r\n\r\n{}" + good, {"!the input has a Content-Length that is no number", "{\"a\":1}"}},
    {"beyond 64 bits", "Content-Length: 99999999999999999999999\r\n\r\n" + good, {"!the input has a message of more than 64 MiB", "{\"a\":1}"}},
    {"just over the cap", "Content-Length: 67108865\r\n\r\n" + good, {"!the input has a message of more than 64 MiB", "{\"a\":1}"}},
    {"doubled", "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}" + good, {"!the input has a header with two Content-Length lines", "{\"a\":1}"}},
    {"garbage", "hello\nworld\n" + good, {"!the input has bytes that are no header", "{\"a\":1}"}},
    {"garbage without an end", "}}}" + good, {"!the input has bytes that are no header", "{\"a\":1}"}},
    {"too short", "Content-Length: 3\r\n\r\n{\"a\":1}" + good, {"{\"a", "{\"a\":1}"}},
    {"too long", "Content-Length: 30\r\n\r\n{\"a\":1}" + good + good, {"{\"a\":1}Content-Length: 7\r\n\r\n{\"", "{\"a\":1}", "{\"a\":1}"}},
    {"empty body", "Content-Length: 0\r\n\r\n" + good, {"", "{\"a\":1}"}},
};

}  // namespace

TEST_CASE("framing gives the same messages however the bytes arrive") {
  for (const Case& one : cases) {
    for (const std::size_t chunk : {std::size_t{1}, std::size_t{2}, std::size_t{3}, std::size_t{7}, std::size_t{64}, std::size_t{100000}}) {
      const std::string name = one.name;
      CAPTURE(name);
      CAPTURE(chunk);
      CHECK(read(one.bytes, chunk) == one.expected);
    }
  }
}

TEST_CASE("an endless header costs one error and bounded memory") {
  lsp::Framer framer;
  int errors = 0;
  for (int i = 0; i < 300; ++i) {
    framer.feed(std::string(10000, 'A'));
    while (const auto message = framer.next()) errors += !message->ok;
  }
  CHECK(errors == 1);
  framer.feed(good);
  const auto message = framer.next();
  REQUIRE(message);
  CHECK(message->text == "{\"a\":1}");
}

TEST_CASE("a megabyte of messages arrives whole") {
  std::string bytes;
  for (int i = 0; i < 2000; ++i) bytes += lsp::frame("{" + std::string(static_cast<std::size_t>(i % 700), ' ') + "}");
  CHECK(read(bytes, 4096).size() == 2000);
}
