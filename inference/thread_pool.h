// Splits one operation's rows over a fixed set of threads; workers spin briefly between operations, then sleep.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace inference {

// One caller at a time. A decode step is some hundred operations of 20-200 microseconds each, so waking a sleeping
// thread for every one would cost as much as the work: workers spin for about a millisecond before they sleep.
class ThreadPool {
 public:
  // `threads` counts the caller; 1 means no workers.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Runs work(begin, end) over disjoint ranges that cover [0, count), each a multiple of `grain` but for the last;
  // returns when all are done. `work` may not throw.
  void run(std::size_t count, std::size_t grain, const std::function<void(std::size_t, std::size_t)>& work);

 private:
  void serve(std::size_t index);
  void take_share(std::size_t index);

  // The job, written by the caller before `generation_` moves on and read by workers after.
  const std::function<void(std::size_t, std::size_t)>* work_ = nullptr;
  std::size_t count_ = 0;
  std::size_t share_ = 0;

  std::atomic<std::uint64_t> generation_{0};
  std::atomic<std::size_t> running_{0};
  std::atomic<int> sleeping_{0};
  std::atomic<bool> stopping_{false};
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::thread> workers_;
};

}  // namespace inference
