// What a session remembers: its tokens, and for every loop the keys, values and states computed for them.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "inference/model.h"
#include "inference/ops.h"

namespace inference {

// One loop's share. Loop 1 keeps keys and values of every position (KV1, which all loops read); a later loop keeps a
// ring, because its own attention sees a window only. States are kept for every position, so that a deeper loop can
// start from them at any time and a moved cursor costs no new run of the loops below.
//
// A later loop need not run from position 0. Started at `begin` with an empty ring, layer i's keys are exact from
// begin + i * (window - 1) on, and its states from begin + layers * (window - 1) on: each layer reaches back one window.
struct LoopCache {
  std::vector<std::vector<float>> keys;    // [layers] of [capacity / 16][kv_width][16]
  std::vector<std::vector<float>> values;  // [layers] of [capacity][kv_width]
  std::vector<float> states;               // [position][hidden]: the residual after the last layer
  std::size_t capacity = 0;                // positions per layer, a multiple of 16; slot = position % capacity
  std::size_t begin = 0;                   // this loop ran over [begin, end)
  std::size_t end = 0;
  std::size_t oldest = 0;                  // first position whose keys the ring still holds

  KvView view(int layer) const {
    const auto i = static_cast<std::size_t>(layer);
    return {keys[i].data(), values[i].data(), capacity, begin};
  }
};

// Positions a loop runs in one go. The ring must hold a chunk beside the window that its first query looks back on.
constexpr std::size_t kChunk = 64;

class Timeline {
 public:
  explicit Timeline(const ModelConfig& config);

  const std::vector<TokenId>& tokens() const { return tokens_; }
  LoopCache& loop(int r) { return loops_[static_cast<std::size_t>(r - 1)]; }
  const LoopCache& loop(int r) const { return loops_[static_cast<std::size_t>(r - 1)]; }

  // Makes `tokens` the timeline's, keeping what was computed for their longest common prefix with the old ones; returns
  // its length. Nothing is computed.
  std::size_t replace(std::span<const TokenId> tokens);
  void append(TokenId token) { tokens_.push_back(token); }

  // Where each loop 1..depth has to start so that the states of loop `depth` are exact from position `first_needed` to
  // the end: [depth] positions, tokens().size() where there is nothing to run. Loops that cannot go on from where they
  // stand are rewound by this call.
  std::vector<std::size_t> plan(int depth, std::size_t first_needed);

  // Makes room in loop r for [first, end), which it is about to run; afterwards advance() marks them as run.
  void prepare(int r, std::size_t first, std::size_t end);
  void advance(int r, std::size_t end);

 private:
  bool can_continue(const LoopCache& cache) const;

  ModelConfig config_;
  std::size_t reach_;  // positions that the states of one loop depend on, before their own: layers * (window - 1)
  std::vector<TokenId> tokens_;
  std::vector<LoopCache> loops_;
};

}  // namespace inference
