// Which positions each loop has run over: what can be reused, what has to run, and where a loop may start late.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "inference/model.h"

namespace inference {

// Positions a loop runs in one go. The ring must hold a chunk beside the window that its first query looks back on.
constexpr std::size_t kChunk = 64;

// One loop's share of a timeline, in positions; the keys, values and states themselves lie wherever the device keeps
// them. Loop 1 keeps keys of every position (KV1, which all loops read); a later loop keeps a ring, because its own
// attention sees a window only. States are kept for every position, so that a deeper loop can start from them at any time
// and a moved cursor costs no new run of the loops below.
//
// A later loop need not run from position 0. Started at `begin` with an empty ring, layer i's keys are exact from
// begin + i * (window - 1) on, and its states from begin + layers * (window - 1) on: each layer reaches back one window.
struct LoopSpan {
  std::size_t begin = 0;   // this loop ran over [begin, end)
  std::size_t end = 0;
  std::size_t oldest = 0;  // first position whose keys the ring still holds
};

// The bookkeeping of one timeline, the same on every device.
class Positions {
 public:
  explicit Positions(const ModelConfig& config);

  const std::vector<TokenId>& tokens() const { return tokens_; }
  const LoopSpan& span(int r) const { return spans_[static_cast<std::size_t>(r - 1)]; }
  // Loops that a plan was ever made for.
  int loops() const { return static_cast<int>(spans_.size()); }

  // Makes `tokens` the timeline's, keeping what was computed for their longest common prefix with the old ones; returns
  // its length.
  std::size_t replace(std::span<const TokenId> tokens);
  void append(TokenId token) { tokens_.push_back(token); }
  // Loop 1 has run over [0, end) elsewhere, and its keys, values and states are at hand.
  void adopt(std::size_t end) { at(1) = {0, end, 0}; }
  // Forgets everything but the tokens: nothing has run.
  void clear();

  // Where each loop 1..depth has to start so that the states of loop `depth` are exact from position `first_needed` to
  // the end: [depth] positions, tokens().size() where there is nothing to run. Loops that cannot go on from where they
  // stand are rewound by this call.
  std::vector<std::size_t> plan(int depth, std::size_t first_needed);

  // Loop r is about to run from `first`, after plan() said so; afterwards advance() marks the positions as run. `ring` is
  // how many positions its keys are kept for.
  void start(int r, std::size_t first);
  void advance(int r, std::size_t end, std::size_t ring);

 private:
  LoopSpan& at(int r) { return spans_[static_cast<std::size_t>(r - 1)]; }
  bool can_continue(const LoopSpan& span) const;

  std::size_t layers_;
  std::size_t window_;
  std::size_t reach_;  // positions that the states of one loop depend on, before their own: layers * (window - 1)
  std::vector<TokenId> tokens_;
  std::vector<LoopSpan> spans_;
};

}  // namespace inference
