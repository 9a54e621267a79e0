// What a session on the CPU remembers: its tokens, and for every loop the keys, values and states computed for them.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "inference/model.h"
#include "inference/ops.h"
#include "inference/positions.h"

namespace inference {

// Memory for the keys and values of 64 positions in all layers, or for their states. Several timelines may hold one page;
// whoever writes copies it first.
using KvPage = std::shared_ptr<std::byte>;    // [layers] of keys [4][kv_width][16], then values [64][kv_width]
using StatePage = std::shared_ptr<float>;     // [64][hidden]: the residual after the last layer

// What loop 1 computed for 64 positions.
struct SharedPage {
  KvPage kv;
  StatePage states;
};

// One loop's keys, values and states; which positions they are of is the LoopSpan's.
struct LoopCache {
  std::vector<KvPage> kv;            // loop 1: position / 64; later loops: a ring, position / 64 % size
  std::vector<std::byte*> kv_table;  // the same pages as attention reads them
  std::vector<StatePage> states;     // position / 64, null where nothing ran
};

class Timeline {
 public:
  Timeline(const ModelConfig& config, KvType type) : config_(config), type_(type), positions_(config) {}

  const std::vector<TokenId>& tokens() const { return positions_.tokens(); }
  const LoopSpan& span(int r) const { return positions_.span(r); }
  // What attention reads of one layer.
  KvView view(int r, int layer) const;
  // The state after loop r of a position that it ran over: [hidden].
  float* state(int r, std::size_t position) const {
    return loop(r).states[position / kKvPage].get() + position % kKvPage * static_cast<std::size_t>(config_.hidden_size);
  }

  // Positions has the words on these.
  std::size_t replace(std::span<const TokenId> tokens) { return positions_.replace(tokens); }
  void append(TokenId token) { positions_.append(token); }
  std::vector<std::size_t> plan(int depth, std::size_t first_needed);

  // Loop 1's page of positions [64 * index, ...), which it must have run over; and another one with the same content.
  SharedPage page(std::size_t index) const { return {loop(1).kv[index], loop(1).states[index]}; }
  void set_page(std::size_t index, const SharedPage& page);
  // Loop 1 need not run over the positions of these pages, which somebody else has computed for the same tokens.
  void adopt(std::span<const SharedPage> pages);
  // Bytes of keys, values and states of 64 positions.
  std::size_t page_bytes() const { return kv_bytes() + state_count() * sizeof(float); }

  // Makes room in loop r for [first, end), which it is about to run; afterwards advance() marks them as run.
  void prepare(int r, std::size_t first, std::size_t end);
  void advance(int r, std::size_t end) { positions_.advance(r, end, loop(r).kv.size() * kKvPage); }

 private:
  const LoopCache& loop(int r) const { return loops_[static_cast<std::size_t>(r - 1)]; }
  std::size_t layer_bytes() const;
  std::size_t kv_bytes() const { return static_cast<std::size_t>(config_.layers) * layer_bytes(); }
  std::size_t state_count() const { return kKvPage * static_cast<std::size_t>(config_.hidden_size); }

  ModelConfig config_;
  KvType type_;
  Positions positions_;
  std::vector<LoopCache> loops_;
};

}  // namespace inference
