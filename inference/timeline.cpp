// Memory for what the CPU computes, in pages of 64 positions: loop 1 grows with the text, later loops keep a ring.
#include "inference/timeline.h"

#include <atomic>
#include <cstring>
#include <new>

namespace inference {
namespace {

// Pages that a ring holds beside the window: a cursor that moves back by less finds its ring intact.
constexpr std::size_t kRingPages = 3;

constexpr std::align_val_t kLine{64};

template <class T>
std::shared_ptr<T> allocate(std::size_t count) {
  auto* memory = static_cast<T*>(::operator new(count * sizeof(T), kLine));
  // Attention reads whole blocks and then leaves out what lies beyond the last position.
  std::memset(static_cast<void*>(memory), 0, count * sizeof(T));
  return {memory, [](T* owned) { ::operator delete(owned, kLine); }};
}

// A page that this timeline alone holds, with what was in it where that is to be kept.
template <class T>
void own(std::shared_ptr<T>& page, std::size_t count, bool keep) {
  if (page && page.use_count() == 1) {
    // Whoever let go of it last may have read it just before.
    std::atomic_thread_fence(std::memory_order_acquire);
    return;
  }
  const std::shared_ptr<T> shared = std::move(page);
  page = allocate<T>(count);
  if (shared && keep) std::memcpy(static_cast<void*>(page.get()), shared.get(), count * sizeof(T));
}

}  // namespace

std::size_t Timeline::layer_bytes() const { return kKvPage * static_cast<std::size_t>(config_.kv_width()) * 2 * size_of(type_); }

KvView Timeline::view(int r, int layer) const {
  const LoopCache& cache = loop(r);
  const std::size_t keys = static_cast<std::size_t>(layer) * layer_bytes();
  return {cache.kv_table.data(), cache.kv_table.size(), keys, keys + layer_bytes() / 2, type_, span(r).begin};
}

std::vector<std::size_t> Timeline::plan(int depth, std::size_t first_needed) {
  if (loops_.size() < static_cast<std::size_t>(depth)) loops_.resize(static_cast<std::size_t>(depth));
  return positions_.plan(depth, first_needed);
}

void Timeline::prepare(int r, std::size_t first, std::size_t end) {
  positions_.start(r, first);
  LoopCache& cache = loops_[static_cast<std::size_t>(r - 1)];
  const std::size_t end_page = (end + kKvPage - 1) / kKvPage;
  const std::size_t ring = (static_cast<std::size_t>(config_.window) + kKvPage - 1) / kKvPage + kRingPages;
  if (r > 1) {
    cache.kv.resize(ring);
  } else if (cache.kv.size() < end_page) {
    cache.kv.resize(end_page);
  }
  if (cache.states.size() < end_page) cache.states.resize(end_page);
  cache.kv_table.resize(cache.kv.size());
  for (std::size_t page = first / kKvPage; page < end_page; ++page) {
    const std::size_t slot = page % cache.kv.size();
    const bool keep = r > 1 || page * kKvPage < first;
    own(cache.kv[slot], kv_bytes(), keep);
    own(cache.states[page], state_count(), keep);
    cache.kv_table[slot] = cache.kv[slot].get();
  }
  // A ring's pages that no loop has written are never read, but its blocks are: let none be missing.
  if (r == 1) return;
  for (std::size_t slot = 0; slot < cache.kv.size(); ++slot) {
    own(cache.kv[slot], kv_bytes(), true);
    cache.kv_table[slot] = cache.kv[slot].get();
  }
}

void Timeline::set_page(std::size_t index, const SharedPage& page) {
  LoopCache& cache = loops_[0];
  cache.kv[index] = page.kv;
  cache.kv_table[index] = page.kv.get();
  cache.states[index] = page.states;
}

void Timeline::adopt(std::span<const SharedPage> pages) {
  if (loops_.empty()) loops_.resize(1);
  LoopCache& cache = loops_[0];
  if (cache.kv.size() < pages.size()) cache.kv.resize(pages.size());
  if (cache.states.size() < pages.size()) cache.states.resize(pages.size());
  cache.kv_table.resize(cache.kv.size());
  for (std::size_t i = 0; i < pages.size(); ++i) set_page(i, pages[i]);
  positions_.adopt(pages.size() * kKvPage);
}

}  // namespace inference
