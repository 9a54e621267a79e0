// Memory for what the CPU computes: loop 1 grows with the text, later loops keep a ring.
#include "inference/timeline.h"

#include <algorithm>

namespace inference {
namespace {

// Chunks that a ring holds beside the window: a cursor that moves back by less finds its ring intact.
constexpr std::size_t kRingChunks = 3;

// Token by token, positions outgrow a cache one at a time; growing by half keeps the copies rare.
std::size_t grown(std::size_t size, std::size_t needed) { return std::max(needed, size + size / 2); }
// A prompt is some hundred tokens at least: caches start with room for this many.
constexpr std::size_t kFirstCapacity = 512;

}  // namespace

std::vector<std::size_t> Timeline::plan(int depth, std::size_t first_needed) {
  if (loops_.size() < static_cast<std::size_t>(depth)) loops_.resize(static_cast<std::size_t>(depth));
  return positions_.plan(depth, first_needed);
}

void Timeline::prepare(int r, std::size_t first, std::size_t end) {
  positions_.start(r, first);
  LoopCache& cache = loop(r);
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

}  // namespace inference
