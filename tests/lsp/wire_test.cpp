// Messages between loopd processes survive the trip whatever bytes they hold; anything else is refused.
#include "lsp/wire.h"

#include <doctest/doctest.h>

#include <chrono>
#include <stdexcept>
#include <string>
#include <thread>

#include <sys/socket.h>
#include <unistd.h>

#include "lsp/completion.h"

using namespace lsp;
using Clock = std::chrono::steady_clock;

namespace {

const std::string no_utf8 = "a\xff\xc3(\0b", zero = std::string("\0\0", 2);

Request full_request() {
  Request request;
  request.kind = Request::Kind::fill;
  request.id = 1ull << 60;
  request.session = "file:///a.py";
  request.path = no_utf8;
  request.segments = {{"b.py", zero}, {"", no_utf8}};
  request.prefix = no_utf8;
  request.suffix = "";
  request.params.depth = 3;
  request.params.max_tokens = 7;
  request.params.temperature = 0.1f;
  request.params.top_p = 0.9f;
  request.params.search_tokens = 24;
  request.params.seed = ~0ull;
  request.params.banned_first = {1, 151643};
  StopRule rule;
  rule.cursor.syntax_class = context::SyntaxClass::identifier;
  rule.cursor.language = context::Language::python;
  rule.cursor.single_line = false;
  rule.cursor.opens_block = true;
  rule.cursor.scope_start = 5;
  rule.cursor.scope_end = 1u << 31;
  rule.cursor.indent = 4;
  rule.cursor.node = "block";
  rule.line_prefix = "    ";
  rule.kept = no_utf8;
  request.params.stop_rule = rule;
  return request;
}

struct Pair {
  int ends[2];
  Pair() { REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0); }
};

}  // namespace

TEST_CASE("a request arrives as it was sent") {
  const Request sent = full_request();
  const Request got = read_request(encode(sent));
  CHECK(encode(got) == encode(sent));
  CHECK(got.id == sent.id);
  CHECK(got.segments[1].text == no_utf8);
  CHECK(got.suffix == "");
  CHECK(got.params.temperature == 0.1f);
  CHECK(got.params.search_tokens == 24);
  CHECK(got.params.seed == ~0ull);
  CHECK(got.params.banned_first == sent.params.banned_first);
  REQUIRE(got.params.stop_rule.target<StopRule>());
  const StopRule& rule = *got.params.stop_rule.target<StopRule>();
  CHECK(rule.cursor.scope_end == 1u << 31);
  CHECK_FALSE(rule.cursor.single_line);
  CHECK(rule.kept == no_utf8);
  CHECK_FALSE(read_request(encode(Request{})).suffix);
}

TEST_CASE("the stop rule stops there as it does here") {
  StopRule rule;
  rule.cursor.language = context::Language::python;
  Request request;
  request.params.stop_rule = rule;
  const auto there = read_request(encode(request)).params.stop_rule;
  for (const char* text : {"", "a", "a\n", "\n", "a = 1\nb"}) {
    CAPTURE(text);
    CHECK(there(text) == rule(text));
  }
  CHECK(there("a\n"));
}

TEST_CASE("a deadline arrives as what is left of it") {
  Request request;
  CHECK_FALSE(read_request(encode(request)).params.deadline);
  request.params.deadline = Clock::now() + std::chrono::hours(1);
  const auto deadline = read_request(encode(request)).params.deadline;
  REQUIRE(deadline);
  CHECK(*deadline - *request.params.deadline < std::chrono::minutes(1));
  CHECK(*deadline - *request.params.deadline > -std::chrono::minutes(1));
  request.params.deadline = Clock::now() - std::chrono::hours(1);
  const auto passed = read_request(encode(request)).params.deadline;
  REQUIRE(passed);
  CHECK(*passed <= Clock::now());
}

TEST_CASE("a function that cannot be sent is not silently left out") {
  Request request;
  request.params.stop_rule = [](std::string_view) { return true; };
  CHECK_THROWS_AS(encode(request), std::logic_error);
}

TEST_CASE("answers and greetings arrive as they were sent") {
  Answer answer;
  answer.id = 9;
  answer.result.text = no_utf8;
  answer.result.tokens = {1, 2};
  answer.result.logprobs = {-0.1f, -2.5e-7f};
  answer.result.token_ms = {1.5, 2.25};
  answer.result.drafted = {3, 0};
  answer.result.accepted = {1, 0};
  answer.result.finish = inference::FinishReason::stop_rule;
  answer.result.timings = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
  const Answer got = read_answer(encode(answer));
  CHECK(encode(got) == encode(answer));
  CHECK(got.result.text == no_utf8);
  CHECK(got.result.logprobs == answer.result.logprobs);
  CHECK(got.result.drafted == answer.result.drafted);
  CHECK(got.result.accepted == answer.result.accepted);
  CHECK(got.result.finish == inference::FinishReason::stop_rule);
  CHECK(got.result.timings.generated_tokens == 6);
  CHECK(got.result.timings.accepted_tokens == 9);
  CHECK(got.result.timings.verify_ms == 11);
  CHECK(got.result.timings.early_tokens == 12);
  const Greeting greeting{"id", "no model", "m", "cpu", "sum", 6, 4096, true};
  CHECK(encode(read_greeting(encode(greeting))) == encode(greeting));
}

TEST_CASE("what is no message is refused, every beginning of one included") {
  const std::string whole = encode(full_request());
  for (std::size_t size = 0; size < whole.size(); ++size) {
    CAPTURE(size);
    CHECK_THROWS_AS(read_request(whole.substr(0, size)), std::runtime_error);
  }
  CHECK_THROWS_AS(read_request(encode(Answer{})), std::runtime_error);
  CHECK_THROWS_AS(read_answer(whole), std::runtime_error);
  CHECK_THROWS_AS(read_greeting("\xc0"), std::runtime_error);
}

TEST_CASE("messages keep their borders, however the bytes arrive") {
  Pair pair;
  Channel here(pair.ends[0]);
  std::jthread sender([fd = pair.ends[1]] {
    const std::string bytes = std::string("\3\0\0\0abc", 7) + std::string("\0\0\0\0", 4) + std::string("\1\0\0\0z", 5);
    for (const char c : bytes) REQUIRE(send(fd, &c, 1, MSG_NOSIGNAL) == 1);
    close(fd);
  });
  std::string message;
  for (const char* expected : {"abc", "", "z"}) {
    REQUIRE(here.receive(message) == Channel::Got::message);
    CHECK(message == expected);
  }
  CHECK(here.receive(message) == Channel::Got::gone);
  CHECK_FALSE(here.send("to nobody"));
}

TEST_CASE("a large message passes, an oversized length ends the connection") {
  Pair pair;
  Channel here(pair.ends[0]);
  {
    Channel there(pair.ends[1]);
    std::jthread sender([&] { CHECK(there.send(std::string(3'000'000, 'x'))); });
    std::string message;
    REQUIRE(here.receive(message) == Channel::Got::message);
    CHECK(message == std::string(3'000'000, 'x'));
    sender.join();
    REQUIRE(send(pair.ends[1], "\xff\xff\xff\xff", 4, 0) == 4);
    CHECK(here.receive(message) == Channel::Got::gone);
  }
}

TEST_CASE("waiting ends when woken, when it is late, and when shut") {
  Pair pair, wake;
  Channel here(pair.ends[0]), there(pair.ends[1]);
  std::string message;
  CHECK(here.receive(message, -1, Clock::now()) == Channel::Got::late);
  REQUIRE(write(wake.ends[1], "1", 1) == 1);
  CHECK(here.receive(message, wake.ends[0]) == Channel::Got::woken);
  std::jthread shuts([&] { here.shut(); });
  CHECK(here.receive(message) == Channel::Got::gone);
  close(wake.ends[0]);
  close(wake.ends[1]);
}
