// What a session on the CPU remembers: its tokens, and for every loop the keys, values and states computed for them.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "inference/model.h"
#include "inference/ops.h"
#include "inference/positions.h"

namespace inference {

// One loop's keys, values and states; which positions they are of is the LoopSpan's.
struct LoopCache {
  std::vector<std::vector<float>> keys;    // [layers] of [capacity / 16][kv_width][16]
  std::vector<std::vector<float>> values;  // [layers] of [capacity][kv_width]
  std::vector<float> states;               // [position][hidden]: the residual after the last layer
  std::size_t capacity = 0;                // positions per layer, a multiple of 16; slot = position % capacity
};

class Timeline {
 public:
  explicit Timeline(const ModelConfig& config) : config_(config), positions_(config) {}

  const std::vector<TokenId>& tokens() const { return positions_.tokens(); }
  const LoopSpan& span(int r) const { return positions_.span(r); }
  LoopCache& loop(int r) { return loops_[static_cast<std::size_t>(r - 1)]; }
  const LoopCache& loop(int r) const { return loops_[static_cast<std::size_t>(r - 1)]; }
  // What attention reads of one layer.
  KvView view(int r, int layer) const {
    const auto i = static_cast<std::size_t>(layer);
    return {loop(r).keys[i].data(), loop(r).values[i].data(), loop(r).capacity, span(r).begin};
  }

  // Positions has the words on these.
  std::size_t replace(std::span<const TokenId> tokens) { return positions_.replace(tokens); }
  void append(TokenId token) { positions_.append(token); }
  std::vector<std::size_t> plan(int depth, std::size_t first_needed);

  // Makes room in loop r for [first, end), which it is about to run; afterwards advance() marks them as run.
  void prepare(int r, std::size_t first, std::size_t end);
  void advance(int r, std::size_t end) { positions_.advance(r, end, loop(r).capacity); }

 private:
  ModelConfig config_;
  Positions positions_;
  std::vector<LoopCache> loops_;
};

}  // namespace inference
