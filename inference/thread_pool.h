// Splits one operation's rows over a few threads; workers spin briefly between operations, then sleep.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace inference {

// One caller at a time. A decode step is some hundred operations of 20-200 microseconds each, so waking a sleeping
// thread for every one would cost as much as the work: workers spin for about a millisecond before they sleep.
//
// Whoever is there takes the next part of an operation, the caller included. So the caller never waits for a worker that
// the system has not scheduled (the user's compiler is running), only for parts that a worker has begun.
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
  void serve();
  // Takes parts of operation `generation` until none is left.
  void take_parts(std::uint32_t generation);

  // The operation at hand. Written by the caller while no part is open, read only by those who hold a part.
  const std::function<void(std::size_t, std::size_t)>* work_ = nullptr;
  std::size_t count_ = 0;
  std::size_t part_ = 0;

  // Upper half: the operation's generation. Lower half: parts not yet taken, or that the pool ends. One word, so that a
  // late worker can neither take a part of an operation that has ended nor miss the end.
  std::atomic<std::uint64_t> ticket_{0};
  std::atomic<std::uint32_t> unfinished_{0};
  std::atomic<int> sleeping_{0};
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::thread> workers_;
};

}  // namespace inference
