// A spinning thread pool for operations of microseconds.
#include "inference/thread_pool.h"

#include <algorithm>
#include <chrono>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace inference {
namespace {

inline void pause_cpu() {
#if defined(__x86_64__)
  _mm_pause();
#else
  std::this_thread::yield();
#endif
}

constexpr auto kSpin = std::chrono::microseconds(1000);

}  // namespace

ThreadPool::ThreadPool(int threads) {
  for (int i = 1; i < threads; ++i) workers_.emplace_back([this, i] { serve(static_cast<std::size_t>(i)); });
}

ThreadPool::~ThreadPool() {
  stopping_.store(true);
  {
    const std::lock_guard lock(mutex_);
    generation_.fetch_add(1);
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::take_share(std::size_t index) {
  const std::size_t begin = std::min(count_, index * share_);
  const std::size_t end = std::min(count_, begin + share_);
  if (begin < end) (*work_)(begin, end);
}

void ThreadPool::run(std::size_t count, std::size_t grain, const std::function<void(std::size_t, std::size_t)>& work) {
  const std::size_t parts = workers_.size() + 1;
  if (parts == 1 || count <= grain) {
    if (count > 0) work(0, count);
    return;
  }
  work_ = &work;
  count_ = count;
  share_ = ((count + parts - 1) / parts + grain - 1) / grain * grain;
  running_.store(workers_.size(), std::memory_order_relaxed);
  generation_.fetch_add(1);  // sequentially consistent, so that it is ordered against sleeping_
  if (sleeping_.load() > 0) {
    const std::lock_guard lock(mutex_);
    wake_.notify_all();
  }
  take_share(0);
  // On a machine with fewer free cores than threads a worker may be waiting for this very core.
  for (int spins = 0; running_.load(std::memory_order_acquire) != 0; ++spins) {
    if (spins < 4000) {
      pause_cpu();
    } else {
      std::this_thread::yield();
    }
  }
}

void ThreadPool::serve(std::size_t index) {
  std::uint64_t seen = 0;
  while (true) {
    const auto spin_until = std::chrono::steady_clock::now() + kSpin;
    int spins = 0;
    while (generation_.load(std::memory_order_acquire) == seen) {
      pause_cpu();
      if (++spins % 256 != 0 || std::chrono::steady_clock::now() < spin_until) continue;
      std::unique_lock lock(mutex_);
      sleeping_.fetch_add(1);
      wake_.wait(lock, [&] { return generation_.load() != seen; });
      sleeping_.fetch_sub(1);
    }
    if (stopping_.load()) return;
    ++seen;
    take_share(index);
    running_.fetch_sub(1, std::memory_order_release);
  }
}

}  // namespace inference
