// Turns: round robin, urgency, and leaving the queue; who waits is looked at, never guessed by the clock.
#include "lsp/turns.h"

#include <doctest/doctest.h>

#include <optional>
#include <string>
#include <thread>
#include <vector>

using lsp::Turn;
using lsp::Turns;
using lsp::Urgency;

namespace {

void until_waiting(const Turns& turns, std::size_t count) {
  while (turns.waiting() != count) std::this_thread::yield();
}

// A thread that takes `steps` steps and writes its name down for each. Only who holds the turn writes.
std::jthread stepping(Turns& turns, Urgency urgency, char name, int steps, std::string& order) {
  return std::jthread([&turns, &order, urgency, name, steps] {
    Turn turn(&turns, urgency, {});
    for (int step = 0; step < steps; ++step) {
      if (step > 0) turn.give_way();
      order += name;
    }
  });
}

}  // namespace

TEST_CASE("who has nobody to take turns with always computes") {
  std::stop_source stopped;
  stopped.request_stop();
  Turn turn(nullptr, Urgency::background, stopped.get_token());
  CHECK(turn.held());
  CHECK(turn.give_way());
}

TEST_CASE("requests are served round robin, one step each, whatever their length") {
  Turns turns;
  std::string order;
  std::vector<std::jthread> threads;
  {
    Turn held(&turns, Urgency::request, {});
    for (int i = 0; i < 3; ++i) {
      threads.push_back(stepping(turns, Urgency::request, static_cast<char>('a' + i), i == 1 ? 2 : 4, order));
      until_waiting(turns, static_cast<std::size_t>(i) + 1);
    }
  }
  threads.clear();
  CHECK(order == "abcabcacac");
}

TEST_CASE("a request waits for one step of background work, and background work for all requests") {
  Turns turns;
  std::string order;
  std::vector<std::jthread> threads;
  {
    Turn held(&turns, Urgency::background, {});
    threads.push_back(stepping(turns, Urgency::background, 'b', 3, order));
    until_waiting(turns, 1);
    threads.push_back(stepping(turns, Urgency::request, 'r', 3, order));
    until_waiting(turns, 2);
    CHECK(held.give_way());  // both before us: of its like the older goes first
    order += 'h';
  }
  threads.clear();
  CHECK(order == "rrrbhbb");
}

TEST_CASE("a request does not give way to background work") {
  Turns turns;
  std::string order;
  std::jthread background;
  {
    Turn held(&turns, Urgency::request, {});
    background = stepping(turns, Urgency::background, 'b', 1, order);
    until_waiting(turns, 1);
    CHECK(held.give_way());
    order += 'r';
  }
  background.join();
  CHECK(order == "rb");
}

TEST_CASE("who is stopped while waiting leaves the queue and does not compute") {
  Turns turns;
  std::stop_source stop;
  bool held_at_first = true, held_after_giving_way = true;
  std::optional<Turn> ours(std::in_place, &turns, Urgency::request, std::stop_token{});
  std::jthread waits([&] { held_at_first = Turn(&turns, Urgency::request, stop.get_token()).held(); });
  until_waiting(turns, 1);
  stop.request_stop();
  waits.join();
  CHECK_FALSE(held_at_first);
  CHECK(turns.waiting() == 0);

  // The same in the middle of work: the turn has passed to somebody who keeps it.
  std::stop_source later;
  std::jthread gives([&] {
    Turn turn(&turns, Urgency::request, later.get_token());
    held_after_giving_way = turn.give_way();
  });
  until_waiting(turns, 1);
  std::jthread keeps([&] {
    Turn turn(&turns, Urgency::request, {});
    until_waiting(turns, 1);  // `gives`, which gave way to us
    later.request_stop();
    until_waiting(turns, 0);
  });
  until_waiting(turns, 2);
  ours.reset();
  gives.join();
  keeps.join();
  CHECK_FALSE(held_after_giving_way);
  Turn again(&turns, Urgency::request, {});
  CHECK(again.held());
}
