// A spinning thread pool for operations of microseconds, in which nobody waits for a thread that is not running.
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
// Parts for each thread: enough that a thread which starts late still finds some, few enough that taking them is cheap.
constexpr std::size_t kPartsPerThread = 4;

// In place of a count of parts: the pool ends.
constexpr std::uint32_t kEnd = 0xFFFFFFFF;

constexpr std::uint32_t generation_of(std::uint64_t ticket) { return static_cast<std::uint32_t>(ticket >> 32); }
constexpr std::uint32_t parts_of(std::uint64_t ticket) { return static_cast<std::uint32_t>(ticket); }

}  // namespace

ThreadPool::ThreadPool(int threads) {
  for (int i = 1; i < threads; ++i) workers_.emplace_back([this] { serve(); });
}

ThreadPool::~ThreadPool() {
  {
    const std::lock_guard lock(mutex_);
    ticket_.store(static_cast<std::uint64_t>(generation_of(ticket_.load()) + 1) << 32 | kEnd);
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::take_parts(std::uint32_t generation) {
  std::uint64_t ticket = ticket_.load(std::memory_order_acquire);
  while (generation_of(ticket) == generation && parts_of(ticket) > 0) {
    if (!ticket_.compare_exchange_weak(ticket, ticket - 1, std::memory_order_acq_rel)) continue;
    // The part is ours: until it is finished the caller cannot return, and so the operation cannot change.
    const std::size_t begin = (parts_of(ticket) - 1) * part_;
    (*work_)(begin, std::min(count_, begin + part_));
    unfinished_.fetch_sub(1, std::memory_order_release);
    ticket = ticket_.load(std::memory_order_acquire);
  }
}

void ThreadPool::run(std::size_t count, std::size_t grain, const std::function<void(std::size_t, std::size_t)>& work) {
  if (workers_.empty() || count <= grain) {
    if (count > 0) work(0, count);
    return;
  }
  const std::size_t wanted = (workers_.size() + 1) * kPartsPerThread;
  part_ = ((count + wanted - 1) / wanted + grain - 1) / grain * grain;
  const auto parts = static_cast<std::uint32_t>((count + part_ - 1) / part_);
  work_ = &work;
  count_ = count;
  unfinished_.store(parts, std::memory_order_relaxed);
  const std::uint32_t generation = generation_of(ticket_.load(std::memory_order_relaxed)) + 1;
  ticket_.store(static_cast<std::uint64_t>(generation) << 32 | parts);  // sequentially consistent: ordered against sleeping_
  if (sleeping_.load() > 0) {
    const std::lock_guard lock(mutex_);
    wake_.notify_all();
  }
  take_parts(generation);
  // A worker may have begun a part and be waiting for this very core.
  for (int spins = 0; unfinished_.load(std::memory_order_acquire) != 0; ++spins) {
    if (spins < 2000) {
      pause_cpu();
    } else {
      std::this_thread::yield();
    }
  }
}

void ThreadPool::serve() {
  std::uint32_t seen = 0;
  while (true) {
    const auto spin_until = std::chrono::steady_clock::now() + kSpin;
    int spins = 0;
    while (generation_of(ticket_.load(std::memory_order_acquire)) == seen) {
      pause_cpu();
      if (++spins % 256 != 0 || std::chrono::steady_clock::now() < spin_until) continue;
      std::unique_lock lock(mutex_);
      sleeping_.fetch_add(1);
      wake_.wait(lock, [&] { return generation_of(ticket_.load()) != seen; });
      sleeping_.fetch_sub(1);
    }
    // Read once: of two words, or of one word read twice, the first may be an operation's and the second the end's.
    const std::uint64_t ticket = ticket_.load(std::memory_order_acquire);
    if (parts_of(ticket) == kEnd) return;
    seen = generation_of(ticket);
    take_parts(seen);
  }
}

}  // namespace inference
