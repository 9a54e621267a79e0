// Lets the requests of several clients compute in turns, one step at a time.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <stop_token>

namespace lsp {

enum class Urgency { request, background };  // somebody waits for the answer, or nobody does

// One holder computes at a time. Requests go before background work, and among their like who came first goes first; so
// those who give way after each step are served round robin, and nobody waits longer than one step of every other.
class Turns {
 public:
  std::size_t waiting() const;

 private:
  friend class Turn;
  struct Waiter {
    Urgency urgency;
    bool called = false;
  };
  void call_next_locked();

  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable_any called_;
  bool held_ = false;
  std::deque<Waiter*> waiting_;
};

// The turn of one thread, held from construction to destruction but for the moments when it gives way.
class Turn {
 public:
  // Waits until it is this thread's turn, or `stop` is requested. `turns` may be null: there is nobody to take turns with.
  Turn(Turns* turns, Urgency urgency, std::stop_token stop);
  ~Turn();
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

  // Between two steps: lets those compute who wait and are as urgent, then goes on. False where `stop` was requested
  // first; then the thread must not compute any more.
  bool give_way();
  bool held() const { return held_; }

 private:
  void take_locked(std::unique_lock<std::mutex>& lock);

  Turns* turns_;
  Urgency urgency_;
  std::stop_token stop_;
  bool held_ = false;
};

}  // namespace lsp
