// One engine for several clients, over real sockets in one process: what they get, in which turn, and how a host dies.
#include "lsp/host.h"

#include <doctest/doctest.h>

#include <latch>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <sys/socket.h>
#include <unistd.h>

#include "lsp/commands/open_model.h"
#include "lsp/remote_engine.h"
#include "lsp/rendezvous.h"
#include "lsp/wire.h"
#include "tests/inference/tiny_model.h"

using namespace lsp;
using inference::FinishReason;

namespace {

const tiny::Model& model() {
  static const tiny::Model one;
  return one;
}

std::shared_ptr<const inference::Engine> engine() {
  static const auto one = inference::Engine::load({.model_dir = model().dir(), .device = "cpu", .threads = 1});
  return one;
}

inference::GenerateParams up_to(int tokens) {
  inference::GenerateParams params;
  params.depth = 2;
  params.max_tokens = tokens;
  return params;
}

// A model that does what the test says.
LoadedModel scripted(std::function<std::string(const std::string& prefix, std::stop_token)> says) {
  LoadedModel loaded;
  loaded.model = "scripted";
  loaded.port.max_depth = 3;
  loaded.port.context = 100;
  loaded.port.generate = [says](const std::string&, const inference::FimPrompt& prompt, const inference::GenerateParams&, std::stop_token stop) {
    inference::GenerateResult result;
    result.text = says(std::string(prompt.prefix), std::move(stop));
    return result;
  };
  loaded.port.prefill = [](const std::string&, const inference::FimPrompt&, int, std::stop_token) {};
  return loaded;
}

LoadedModel echo() {
  return scripted([](const std::string& prefix, std::stop_token) { return prefix + "!"; });
}

LoadedModel nobody() { throw std::logic_error("the model was loaded in the client's process"); }

// Hosts on demand: each connection is served by what `next` gives.
struct World {
  std::optional<Host> host;
  int connections = 0;
  std::vector<std::jthread> threads;

  explicit World(std::function<LoadedModel()> open) { host.emplace("id", std::move(open)); }

  int connect() {
    int ends[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    ++connections;
    host->serve(ends[1]);
    return ends[0];
  }
  // A host that greets and dies with the first request.
  int connect_dying() {
    int ends[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    ++connections;
    threads.emplace_back([fd = ends[1]] {
      Channel channel(fd);
      channel.send(encode(Greeting{"id", "", "dying", "cpu", "", 3, 100}));
      std::string message;
      channel.receive(message);
    });
    return ends[0];
  }
  RemoteOptions options(std::function<int()> connect, std::function<LoadedModel()> own = nobody) {
    return {"id", std::move(connect), std::move(own), model().dir()};
  }
  LoadedModel client() {
    return share_engine(options([this] { return connect(); }), {});
  }
};

std::string ask(const LoadedModel& client, const std::string& prefix, std::stop_token stop = {}) {
  return client.port.generate("doc", {"", {}, prefix, ""}, up_to(8), std::move(stop)).text;
}

}  // namespace

TEST_CASE("two clients that take turns on one engine get what each would get alone") {
  Turns turns;
  World world([&] { return with_sessions(engine(), &turns); });
  const std::vector<std::string> names = {"a.py", "b.py"};
  // Longer than some slices, so that prompts are computed in turns, too; later ones share a beginning with earlier ones.
  const auto prompt = [](std::size_t client, int round) {
    std::string text;
    for (int i = 0; i < 90 + round * 7; ++i) text += (client ? "self.a[" : "return ") + std::to_string(i % (5 + round / 3)) + "\n";
    return text.substr(0, 300 + static_cast<std::size_t>(round) * 11);
  };
  constexpr int rounds = 6;
  std::vector<std::vector<inference::GenerateResult>> together(2), alone(2);
  const auto run = [&](const LoadedModel& loaded, std::size_t client, std::vector<inference::GenerateResult>& results) {
    for (int round = 0; round < rounds; ++round) {
      const std::string text = prompt(client, round);
      const inference::FimPrompt fim{names[client], {}, text, "\n"};
      if (round % 2) loaded.port.prefill("doc", fim, 2, {});
      results.push_back(loaded.port.generate("doc", fim, up_to(12), {}));
    }
  };
  const std::vector<LoadedModel> clients = {world.client(), world.client()};
  {
    std::vector<std::jthread> threads;
    for (std::size_t client = 0; client < 2; ++client) {
      threads.emplace_back([&, client] { run(clients[client], client, together[client]); });
    }
  }
  for (std::size_t client = 0; client < 2; ++client) {
    run(with_sessions(engine()), client, alone[client]);
    for (int round = 0; round < rounds; ++round) {
      CAPTURE(client);
      CAPTURE(round);
      const auto& shared = together[client][static_cast<std::size_t>(round)];
      const auto& own = alone[client][static_cast<std::size_t>(round)];
      CHECK(shared.tokens == own.tokens);
      CHECK(shared.logprobs == own.logprobs);
      CHECK(shared.text == own.text);
      CHECK(shared.finish == own.finish);
      CHECK(shared.timings.prompt_tokens == own.timings.prompt_tokens);
      // Whoever comes later may also find what others left in the engine's cache.
      CHECK(shared.timings.reused_tokens <= own.timings.reused_tokens);
    }
  }
  CHECK(world.connections == 2);
}

TEST_CASE("one client's generation stands aside for another's after each token") {
  Turns turns;
  World world([&] { return with_sessions(engine(), &turns); });
  const LoadedModel client = world.client();
  inference::GenerateResult result;
  std::stop_source enough;
  // The other client is the test itself: each time it gives way, the generation takes one step and waits again.
  Turn other(&turns, Urgency::request, {});
  std::jthread generation([&] { result = client.generate({std::string(200, '('), std::nullopt, up_to(200)}, enough.get_token()); });
  while (turns.waiting() != 1) std::this_thread::yield();
  for (int step = 0; step < 10; ++step) {
    REQUIRE(other.give_way());
    REQUIRE(turns.waiting() == 1);
  }
  enough.request_stop();
  generation.join();
  CHECK(result.finish == FinishReason::cancelled);
}

TEST_CASE("two documents of one editor take turns by the token") {
  Turns turns;
  const LoadedModel loaded = with_sessions(engine(), &turns);
  // Only who holds the turn writes.
  std::string order;
  std::latch begun(1);
  std::jthread second;
  auto params = up_to(12);
  params.stop_rule = [&](std::string_view) {
    order += 'a';
    if (order == "a") begun.count_down();
    while (order == "a" && turns.waiting() != 1) std::this_thread::yield();
    return false;
  };
  {
    std::jthread first([&] { loaded.port.generate("a.py", {"a.py", {}, "return a", "\n"}, params, {}); });
    begun.wait();
    second = std::jthread([&] {
      auto short_one = up_to(4);
      short_one.stop_rule = [&](std::string_view) {
        order += 'b';
        return false;
      };
      loaded.port.generate("b.py", {"b.py", {}, "self.", "\n"}, short_one, {});
    });
  }
  second.join();
  CHECK(order.substr(0, 8) == "abababab");
  CHECK(order.ends_with("aaaa"));
}

TEST_CASE("one editor's requests for several documents are computed for at once, each document's on its own connection") {
  std::latch running(1), gate(1);
  World world([&] {
    return scripted([&](const std::string& prefix, std::stop_token) {
      if (prefix == "long") {
        running.count_down();
        gate.wait();
      }
      return prefix + "!";
    });
  });
  const LoadedModel client = world.client();
  const auto fill = [&](const char* document, const char* prefix) { return client.port.generate(document, {"", {}, prefix, ""}, up_to(8), {}).text; };
  CHECK(fill("b.py", "first") == "first!");
  std::string slow;
  {
    std::jthread waits([&] { slow = fill("a.py", "long"); });
    running.wait();
    CHECK(fill("b.py", "short") == "short!");
    CHECK(world.connections == 2);
    CHECK(fill("b.py", "again") == "again!");
    gate.count_down();
  }
  CHECK(slow == "long!");
  CHECK(fill("a.py", "next") == "next!");
  CHECK(world.connections == 2);
}

TEST_CASE("what nobody asked for waits while anybody's request computes") {
  Turns turns;
  World world([&] { return with_sessions(engine(), &turns); });
  const LoadedModel client = world.client();
  inference::GenerateParams params = up_to(3);
  params.background = true;
  inference::GenerateResult result;
  std::jthread generation;
  {
    Turn request(&turns, Urgency::request, {});
    generation = std::jthread([&] { result = client.port.generate("doc", {"a.py", {}, "return a", "\n"}, params, {}); });
    while (turns.waiting() != 1) std::this_thread::yield();
    for (int step = 0; step < 50; ++step) {
      REQUIRE(request.give_way());
      REQUIRE(turns.waiting() == 1);
    }
  }
  generation.join();
  CHECK(result.finish != FinishReason::cancelled);
  // What it computed is told with the next answer that somebody waited for.
  const auto next = client.port.generate("doc", {"a.py", {}, "return a", "\n"}, up_to(3), {});
  CHECK(next.timings.prefetched_tokens == result.timings.computed_tokens);
  CHECK(next.timings.computed_tokens + next.timings.reused_tokens == next.timings.prompt_tokens);
}

TEST_CASE("a host that dies on a request is replaced, and the request asked again") {
  World world(echo);
  int deaths = 2;
  const LoadedModel client = share_engine(world.options([&] { return deaths-- > 0 ? world.connect_dying() : world.connect(); }), {});
  CHECK(client.model == "dying");
  CHECK(ask(client, "a") == "a!");
  CHECK(world.connections == 3);
  CHECK(ask(client, "b") == "b!");
  CHECK(world.connections == 3);
}

TEST_CASE("a host that dies between requests is not noticed") {
  World world(echo);
  const LoadedModel client = world.client();
  CHECK(ask(client, "a") == "a!");
  world.host.emplace("id", echo);
  CHECK(ask(client, "b") == "b!");
  CHECK(world.connections == 2);
}

TEST_CASE("a request that kills every host is an error, and not computed in the editor's own process") {
  World world(echo);
  bool dying = true;
  const LoadedModel client = share_engine(world.options([&] { return dying ? world.connect_dying() : world.connect(); }), {});
  CHECK_THROWS_WITH(ask(client, "a"), "the engine process died 3 times on this request");
  CHECK(world.connections == 3);
  dying = false;
  CHECK(ask(client, "b") == "b!");
}

TEST_CASE("where sharing ends to be possible the model is loaded here") {
  World world(echo);
  bool possible = true;
  int loaded = 0;
  const auto own = [&] {
    ++loaded;
    return scripted([](const std::string& prefix, std::stop_token) { return prefix + "?"; });
  };
  const auto connect = [&] { return possible ? world.connect() : throw CannotShare("no folder"); };
  const LoadedModel client = share_engine(world.options(connect, own), {});
  possible = false;
  world.host.reset();
  CHECK(ask(client, "a") == "a?");
  CHECK(ask(client, "b") == "b?");
  CHECK(loaded == 1);
  CHECK_THROWS_AS(share_engine(world.options(connect, own), {}), CannotShare);
}

TEST_CASE("a model that cannot be loaded is the host's to tell") {
  World world([]() -> LoadedModel { throw std::runtime_error("config.json: no such file"); });
  CHECK_THROWS_WITH(world.client(), "config.json: no such file");
}

TEST_CASE("a host of another version or model is left alone") {
  World world(echo);
  RemoteOptions options = world.options([&] { return world.connect(); });
  options.identity = "another";
  CHECK_THROWS_AS(share_engine(options, {}), CannotShare);
}

TEST_CASE("a host that ends before it greets is tried again, but not for ever") {
  int connections = 0;
  World world(echo);
  const auto connect = [&] {
    int ends[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    ++connections;
    close(ends[1]);
    return ends[0];
  };
  CHECK_THROWS_AS(share_engine(world.options(connect), {}), CannotShare);
  CHECK(connections == 3);
}

TEST_CASE("a stopped request returns at once, stops the engine, and the next one is served on the same connection") {
  std::latch running(1), stopped(1);
  World world([&] {
    return scripted([&](const std::string& prefix, std::stop_token stop) {
      if (prefix == "long") {
        running.count_down();
        while (!stop.stop_requested()) std::this_thread::yield();
        stopped.count_down();
      }
      return prefix + "!";
    });
  });
  const LoadedModel client = world.client();
  std::stop_source stop;
  std::jthread stops([&] {
    running.wait();
    stop.request_stop();
  });
  const auto result = client.port.generate("doc", {"", {}, "long", ""}, up_to(8), stop.get_token());
  CHECK(result.finish == FinishReason::cancelled);
  stopped.wait();
  CHECK(ask(client, "next") == "next!");
  std::stop_source before;
  before.request_stop();
  CHECK(client.port.generate("doc", {"", {}, "a", ""}, up_to(8), before.get_token()).finish == FinishReason::cancelled);
  CHECK(ask(client, "last") == "last!");
  CHECK(world.connections == 1);
}

TEST_CASE("a client that leaves stops what runs for it") {
  std::latch running(1), stopped(1);
  World world([&] {
    return scripted([&](const std::string&, std::stop_token stop) {
      running.count_down();
      while (!stop.stop_requested()) std::this_thread::yield();
      stopped.count_down();
      return std::string();
    });
  });
  {
    Channel client(world.connect());
    Request request;
    request.kind = Request::Kind::fill;
    REQUIRE(client.send(encode(request)));
    running.wait();
  }
  stopped.wait();
}

TEST_CASE("what the engine throws reaches the client, and both go on") {
  World world([] {
    return scripted([](const std::string& prefix, std::stop_token) {
      if (prefix == "bad") throw std::runtime_error("out of memory");
      return prefix + "!";
    });
  });
  const LoadedModel client = world.client();
  CHECK_THROWS_WITH(ask(client, "bad"), "out of memory");
  CHECK(ask(client, "good") == "good!");
  CHECK(world.connections == 1);
}

TEST_CASE("a client that speaks nonsense is dropped, others are served") {
  World world(echo);
  const LoadedModel client = world.client();
  Channel rude(world.connect());
  std::string message;
  REQUIRE(rude.receive(message) == Channel::Got::message);
  REQUIRE(rude.send("no request"));
  CHECK(rude.receive(message) == Channel::Got::gone);
  CHECK(ask(client, "a") == "a!");
}

TEST_CASE("more clients than the limit are turned away") {
  World world(echo);
  std::vector<std::unique_ptr<Channel>> all;
  std::string message;
  for (std::size_t i = 0; i < Host::max_clients; ++i) {
    all.push_back(std::make_unique<Channel>(world.connect()));
    REQUIRE(all.back()->receive(message) == Channel::Got::message);
  }
  Channel one_too_many(world.connect());
  CHECK(one_too_many.receive(message) == Channel::Got::gone);
}

TEST_CASE("the host accepts its own user alone, and ends when nobody has been there for a while") {
  char name[] = "/tmp/loopd-test-XXXXXX";
  REQUIRE(mkdtemp(name));
  Rendezvous place;
  place.socket = std::string(name) + "/engine.socket";
  int listener = -1;
  place.start = [&](int fd) { listener = dup(fd); };
  std::string message;
  Channel first(place.connect());
  for (const unsigned other : {1u, 0u}) {
    int wake[2];
    REQUIRE(pipe(wake) == 0);
    Host host("id", echo);
    std::jthread accepts([&] { host.accept_until_idle(listener, geteuid() + other, std::chrono::hours(1), wake[0]); });
    Channel client(place.connect());
    CHECK(client.receive(message) == (other ? Channel::Got::gone : Channel::Got::message));
    REQUIRE(write(wake[1], "1", 1) == 1);
    accepts.join();
    close(wake[0]);
    close(wake[1]);
  }
  Host host("id", echo);
  host.accept_until_idle(listener, geteuid(), std::chrono::milliseconds(1));  // returns: that is the test
  close(listener);
  unlink(place.socket.c_str());
  unlink((place.socket + ".lock").c_str());
  rmdir(name);
}
