// Scheduling: who runs, who is superseded, and that everybody is told once. Order is forced by gates, never by waiting.
#include "lsp/scheduler.h"

#include <doctest/doctest.h>

#include <atomic>
#include <future>
#include <latch>
#include <map>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

using lsp::Job;
using lsp::Outcome;
using lsp::Scheduler;

namespace {

// Collects what the jobs reported.
struct Results {
  std::mutex mutex;
  std::map<std::string, std::vector<Outcome>> outcomes;
  std::vector<std::string> started;

  void report(const std::string& name, Outcome outcome) {
    const std::lock_guard lock(mutex);
    outcomes[name].push_back(outcome);
  }
  std::size_t outcomes_of(const std::string& name) {
    const std::lock_guard lock(mutex);
    return outcomes[name].size();
  }
  void start(const std::string& name) {
    const std::lock_guard lock(mutex);
    started.push_back(name);
  }
};

void nothing(std::stop_token) {}

// `told` is counted down when the job has been finished, not when its work ends: between the two it may still be stopped.
Job job(Results& results, const std::string& name, const std::string& document,
        std::function<void(std::stop_token)> work = nothing, std::latch* told = nullptr) {
  Job made;
  made.document = document;
  made.work = [&results, name, work](std::stop_token stop) {
    results.start(name);
    work(stop);
  };
  made.finished = [&results, name, told](Outcome outcome, const std::string&) {
    results.report(name, outcome);
    if (told) told->count_down();
  };
  return made;
}

// Work that says when it runs and ends when it is stopped.
std::function<void(std::stop_token)> until_stopped(std::latch& running) {
  return [&running](std::stop_token stop) {
    std::promise<void> stopped;
    const std::stop_callback callback(stop, [&] { stopped.set_value(); });
    running.count_down();
    stopped.get_future().wait();
  };
}

// Work that says when it runs and ends when the gate opens.
std::function<void(std::stop_token)> until_open(std::latch& running, std::latch& gate) {
  return [&](std::stop_token) {
    running.count_down();
    gate.wait();
  };
}

using Once = std::vector<Outcome>;

}  // namespace

TEST_CASE("jobs of different documents run in order") {
  Results results;
  std::latch done(3);
  {
    Scheduler scheduler;
    for (const char* name : {"a", "b", "c"}) scheduler.submit(job(results, name, name, nothing, &done));
    done.wait();
  }
  CHECK(results.started == std::vector<std::string>{"a", "b", "c"});
  CHECK(results.outcomes["a"] == Once{Outcome::done});
}

TEST_CASE("the newest job of a document wins; older ones never start or are stopped") {
  Results results;
  std::latch running(1);
  std::latch asked(1);
  std::latch finished(1);
  const auto stopped_but_slow = [&](std::stop_token stop) {
    until_stopped(running)(stop);
    asked.wait();  // or "second" might start before "third" is there
  };
  {
    Scheduler scheduler;
    scheduler.submit(job(results, "first", "doc", stopped_but_slow));
    running.wait();
    scheduler.submit(job(results, "second", "doc"));
    scheduler.submit(job(results, "third", "doc", nothing, &finished));
    asked.count_down();
    finished.wait();
  }
  CHECK(results.started == std::vector<std::string>{"first", "third"});
  CHECK(results.outcomes["first"] == Once{Outcome::superseded});
  CHECK(results.outcomes["second"] == Once{Outcome::superseded});
  CHECK(results.outcomes["third"] == Once{Outcome::done});
}

TEST_CASE("another document's job supersedes nothing") {
  Results results;
  std::latch running(1), gate(1), finished(1);
  {
    Scheduler scheduler;
    scheduler.submit(job(results, "one", "a", until_open(running, gate)));
    running.wait();
    scheduler.submit(job(results, "two", "b", nothing, &finished));
    gate.count_down();
    finished.wait();
  }
  CHECK(results.outcomes["one"] == Once{Outcome::done});
  CHECK(results.outcomes["two"] == Once{Outcome::done});
}

TEST_CASE("jobs without a document are never superseded") {
  Results results;
  std::latch finished(2);
  {
    Scheduler scheduler;
    for (const char* name : {"one", "two"}) scheduler.submit(job(results, name, "", nothing, &finished));
    finished.wait();
  }
  CHECK(results.outcomes["one"] == Once{Outcome::done});
  CHECK(results.outcomes["two"] == Once{Outcome::done});
}

TEST_CASE("the client's cancellation stops running work and keeps waiting work from starting") {
  Results results;
  std::latch running(1);
  std::latch finished(1);
  {
    Scheduler scheduler;
    std::stop_source first, second;
    Job one = job(results, "one", "a", until_stopped(running));
    one.cancelled = first.get_token();
    Job two = job(results, "two", "b");
    two.cancelled = second.get_token();
    scheduler.submit(std::move(one));
    scheduler.submit(std::move(two));
    running.wait();
    second.request_stop();
    first.request_stop();
    scheduler.submit(job(results, "three", "c", nothing, &finished));
    finished.wait();
  }
  CHECK(results.started == std::vector<std::string>{"one", "three"});
  CHECK(results.outcomes["one"] == Once{Outcome::cancelled});
  CHECK(results.outcomes["two"] == Once{Outcome::cancelled});
}

TEST_CASE("background work gives way to requests and supersedes only its like") {
  Results results;
  std::latch preparing(1), finished(2);
  std::latch running(1), gate(1);
  {
    Scheduler scheduler;
    Job first = job(results, "prepare 1", "a", until_stopped(preparing));
    first.priority = Job::Priority::background;
    scheduler.submit(std::move(first));
    preparing.wait();
    scheduler.submit(job(results, "request", "a", until_open(running, gate)));
    running.wait();
    for (const char* name : {"prepare 2", "prepare 3"}) {
      Job next = job(results, name, "a", nothing, &finished);
      next.priority = Job::Priority::background;
      scheduler.submit(std::move(next));
    }
    scheduler.submit(job(results, "other", "b"));
    gate.count_down();
    finished.wait();
  }
  CHECK(results.started == std::vector<std::string>{"prepare 1", "request", "other", "prepare 3"});
  CHECK(results.outcomes["prepare 1"] == Once{Outcome::superseded});
  CHECK(results.outcomes["request"] == Once{Outcome::done});
  CHECK(results.outcomes["prepare 2"] == Once{Outcome::superseded});
  CHECK(results.outcomes["prepare 3"] == Once{Outcome::done});
}

TEST_CASE("documents run side by side, one document's jobs one after the other") {
  Results results;
  std::latch running(2), gate(1), again(1), finished(1), b_ended(1);
  {
    Scheduler scheduler(3);
    // Both run before either may end.
    scheduler.submit(job(results, "a", "a", until_open(running, gate)));
    scheduler.submit(job(results, "b", "b", until_open(running, gate), &b_ended));
    running.wait();
    std::atomic<bool> a_ended = false, early = false;
    scheduler.submit(job(results, "a again", "a", [&](std::stop_token) { early = !a_ended; }, &again));
    // There is a lane for it, but its document is busy; whoever needs no document passes it by.
    scheduler.submit(job(results, "other", "", nothing, &finished));
    finished.wait();
    CHECK(results.outcomes_of("a again") == 0);
    a_ended = true;
    gate.count_down();
    again.wait();
    b_ended.wait();  // the scheduler's end would cancel it
    CHECK_FALSE(early);
  }
  CHECK(results.outcomes["a"] == Once{Outcome::superseded});
  CHECK(results.outcomes["a again"] == Once{Outcome::done});
  CHECK(results.outcomes["b"] == Once{Outcome::done});
}

TEST_CASE("a job that wants to be alone waits for all before it, and all behind it wait for it") {
  Results results;
  std::latch running(2), gate(1), alone(1), door(1), finished(1);
  {
    Scheduler scheduler(4);
    scheduler.submit(job(results, "a", "a", until_open(running, gate)));
    scheduler.submit(job(results, "b", "b", until_open(running, gate)));
    running.wait();
    Job load = job(results, "load", "", until_open(alone, door));
    load.alone = true;
    scheduler.submit(std::move(load));
    scheduler.submit(job(results, "c", "c", nothing, &finished));
    CHECK_FALSE(alone.try_wait());
    gate.count_down();
    alone.wait();
    CHECK(results.outcomes_of("a") + results.outcomes_of("b") == 2);
    CHECK(results.outcomes_of("c") == 0);
    door.count_down();
    finished.wait();
  }
  CHECK(results.started.back() == "c");
  CHECK(results.started.size() == 4);
}

TEST_CASE("with many lanes, too, background work waits until no request runs") {
  Results results;
  std::latch running(1), gate(1), finished(1);
  {
    Scheduler scheduler(4);
    scheduler.submit(job(results, "request", "a", until_open(running, gate)));
    running.wait();
    Job ahead = job(results, "ahead", "b", nothing, &finished);
    ahead.priority = Job::Priority::background;
    scheduler.submit(std::move(ahead));
    std::latch other(1);
    scheduler.submit(job(results, "other", "c", nothing, &other));
    other.wait();
    gate.count_down();
    finished.wait();
  }
  CHECK(results.started == std::vector<std::string>{"request", "other", "ahead"});
}

TEST_CASE("stopping answers everybody and joins") {
  Results results;
  std::latch running(1);
  {
    Scheduler scheduler;
    scheduler.submit(job(results, "running", "a", until_stopped(running)));
    running.wait();
    scheduler.submit(job(results, "waiting", "b"));
    scheduler.stop();
    scheduler.submit(job(results, "late", "c"));
  }
  CHECK(results.started == std::vector<std::string>{"running"});
  for (const char* name : {"running", "waiting", "late"}) CHECK(results.outcomes[name] == Once{Outcome::cancelled});
}

TEST_CASE("the queue is bounded") {
  Results results;
  std::latch running(1), gate(1);
  {
    Scheduler scheduler;
    scheduler.submit(job(results, "running", "", until_open(running, gate)));
    running.wait();
    for (std::size_t i = 0; i < Scheduler::max_waiting; ++i) scheduler.submit(job(results, "waiting", ""));
    scheduler.submit(job(results, "one too many", ""));
    CHECK(results.outcomes["one too many"] == Once{Outcome::refused});
    gate.count_down();
  }
  CHECK(results.outcomes["waiting"].size() == Scheduler::max_waiting);
}

TEST_CASE("work that throws is reported and the next job runs") {
  Results results;
  std::string error;
  std::latch finished(1);
  {
    Scheduler scheduler;
    Job bad = job(results, "bad", "a", [](std::stop_token) { throw std::runtime_error("no memory"); });
    bad.finished = [&](Outcome outcome, const std::string& what) {
      CHECK(outcome == Outcome::failed);
      error = what;
    };
    scheduler.submit(std::move(bad));
    scheduler.submit(job(results, "good", "b", nothing, &finished));
    finished.wait();
  }
  CHECK(error == "no memory");
  CHECK(results.outcomes["good"] == Once{Outcome::done});
}

TEST_CASE("many threads submit, cancel and supersede, and each job is answered once") {
  std::atomic<int> answered = 0;
  constexpr int threads = 4;
  constexpr int each = 300;
  {
    Scheduler scheduler;
    std::vector<std::jthread> clients;
    for (int thread = 0; thread < threads; ++thread) {
      clients.emplace_back([&, thread] {
        for (int i = 0; i < each; ++i) {
          std::stop_source cancel;
          Job one;
          one.document = i % 3 == 0 ? "" : "doc" + std::to_string((i + thread) % 5);
          one.cancelled = cancel.get_token();
          one.work = [](std::stop_token stop) {
            for (int step = 0; step < 50 && !stop.stop_requested(); ++step) std::this_thread::yield();
          };
          one.finished = [&](Outcome, const std::string&) { ++answered; };
          if (i % 7 == 0) one.priority = Job::Priority::background;
          scheduler.submit(std::move(one));
          if (i % 4 == 0) cancel.request_stop();
          if (i % 11 == 0) scheduler.supersede("doc1");
        }
      });
    }
  }
  CHECK(answered == threads * each);
}
