// An event loop that goes on only where a test says so: threads post to it, the test runs one task after the other.
#pragma once

#include <doctest/doctest.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <utility>

namespace tests {

class LoopByHand {
 public:
  // From any thread.
  void post(std::function<void()> task) {
    const std::lock_guard lock(mutex_);
    tasks_.push_back(std::move(task));
    changed_.notify_one();
  }

  // Waits for a task and runs it.
  void turn() {
    std::function<void()> task;
    {
      std::unique_lock lock(mutex_);
      REQUIRE(changed_.wait_for(lock, std::chrono::seconds(20), [&] { return !tasks_.empty(); }));
      task = std::move(tasks_.front());
      tasks_.pop_front();
    }
    task();
  }

 private:
  std::mutex mutex_;  // guards the tasks
  std::condition_variable changed_;
  std::deque<std::function<void()>> tasks_;
};

}  // namespace tests
