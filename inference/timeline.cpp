// Bookkeeping of positions: what can be reused, what has to run, and where a loop may start late.
#include "inference/timeline.h"

#include <algorithm>

namespace inference {
namespace {

// Chunks that a ring holds beside the window: a cursor that moves back by less finds its ring intact.
constexpr std::size_t kRingChunks = 3;
// A loop that starts late starts this much earlier than it must, so that stepping back a little stays exact.
constexpr std::size_t kMargin = kChunk;

// Token by token, positions outgrow a cache one at a time; growing by half keeps the copies rare.
std::size_t grown(std::size_t size, std::size_t needed) { return std::max(needed, size + size / 2); }
// A prompt is some hundred tokens at least: caches start with room for this many.
constexpr std::size_t kFirstCapacity = 512;

}  // namespace

Timeline::Timeline(const ModelConfig& config)
    : config_(config), reach_(static_cast<std::size_t>(config.layers) * static_cast<std::size_t>(std::max(0, config.window - 1))) {
  loops_.resize(1);
}

std::size_t Timeline::replace(std::span<const TokenId> tokens) {
  const auto [mine, theirs] = std::mismatch(tokens_.begin(), tokens_.end(), tokens.begin(), tokens.end());
  const auto common = static_cast<std::size_t>(mine - tokens_.begin());
  tokens_.assign(tokens.begin(), tokens.end());
  for (LoopCache& cache : loops_) {
    cache.end = std::min(cache.end, common);
    if (cache.begin >= cache.end) cache.begin = cache.end = cache.oldest = 0;
  }
  return std::min(common, loops_.front().end);
}

bool Timeline::can_continue(const LoopCache& cache) const {
  if (cache.end == 0) return true;
  const std::size_t window = static_cast<std::size_t>(config_.window);
  const std::size_t looks_back_to = cache.end + 1 > window ? cache.end + 1 - window : 0;
  const std::size_t layers_before_last = static_cast<std::size_t>(config_.layers - 1);
  const std::size_t exact_from = cache.begin == 0 ? 0 : cache.begin + layers_before_last * (window - 1);
  return looks_back_to >= cache.oldest && looks_back_to >= exact_from;
}

std::vector<std::size_t> Timeline::plan(int depth, std::size_t first_needed) {
  while (loops_.size() < static_cast<std::size_t>(depth)) loops_.emplace_back();
  const std::size_t count = tokens_.size();
  std::vector<std::size_t> starts(static_cast<std::size_t>(depth), count);
  std::size_t needed = first_needed;  // of the loop at hand: first position whose states somebody reads
  for (int r = depth; r >= 2 && needed < count; --r) {
    LoopCache& cache = loop(r);
    const std::size_t states_from = cache.begin == 0 ? 0 : cache.begin + reach_;
    const std::size_t late = needed > reach_ + kMargin ? needed - reach_ - kMargin : 0;
    const bool goes_on = can_continue(cache) && late <= cache.end && (needed >= cache.end || needed >= states_from);
    if (!goes_on) cache.begin = cache.end = cache.oldest = late;
    starts[static_cast<std::size_t>(r - 1)] = cache.end;
    needed = std::min(cache.end, count);
  }
  starts[0] = loop(1).end;
  return starts;
}

void Timeline::prepare(int r, std::size_t first, std::size_t end) {
  LoopCache& cache = loop(r);
  if (cache.begin == cache.end) cache.begin = cache.end = cache.oldest = first;
  const auto layers = static_cast<std::size_t>(config_.layers);
  const auto width = static_cast<std::size_t>(config_.kv_width());
  const std::size_t ring = static_cast<std::size_t>(config_.window) + kRingChunks * kChunk;
  const std::size_t needed = r > 1 ? ring : end <= cache.capacity ? cache.capacity : std::max(kFirstCapacity, grown(cache.capacity, end));
  const std::size_t capacity = (needed + kKeyBlock - 1) / kKeyBlock * kKeyBlock;
  if (capacity != cache.capacity) {
    cache.keys.resize(layers);
    cache.values.resize(layers);
    for (std::size_t i = 0; i < layers; ++i) {
      cache.keys[i].resize(capacity * width);
      cache.values[i].resize(capacity * width);
    }
    cache.capacity = capacity;
  }
  const std::size_t states = end * static_cast<std::size_t>(config_.hidden_size);
  if (states > cache.states.size()) cache.states.resize(grown(cache.states.size(), states));
}

void Timeline::advance(int r, std::size_t end) {
  LoopCache& cache = loop(r);
  cache.end = end;
  if (end > cache.capacity) cache.oldest = std::max(cache.oldest, end - cache.capacity);
}

}  // namespace inference
