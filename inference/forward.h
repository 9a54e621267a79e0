// The looped forward pass: the same blocks over the same positions, once per loop.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <stop_token>
#include <vector>

#include "inference/lane.h"
#include "inference/model.h"
#include "inference/ops.h"
#include "inference/thread_pool.h"
#include "inference/timeline.h"

namespace inference {

// Stateless but for scratch memory; one thread at a time.
class Forward {
 public:
  Forward(const Model& model, const Ops& ops, ThreadPool& pool) : model_(model), ops_(ops), pool_(pool) {}

  // Runs loops 1..depth as far as needed for exact states of loop `depth` from `first_needed` to the end of the
  // timeline's tokens. False where `stop` was requested or the deadline passed first; what was computed by then counts.
  bool run(Timeline& timeline, int depth, std::size_t first_needed, const std::stop_token& stop, const Deadline& deadline = {});

  // Logits [count][vocab] after positions [first, first + count) of loop `depth`, which must have run.
  void logits(const Timeline& timeline, int depth, std::size_t first, std::size_t count, std::vector<float>& to);
  std::vector<float> logits(const Timeline& timeline, int depth, std::size_t first, std::size_t count) {
    std::vector<float> result;
    logits(timeline, depth, first, count, result);
    return result;
  }

 private:
  void run_chunk(Timeline& timeline, int r, std::size_t first, std::size_t rows);
  void enter(Timeline& timeline, int r, std::size_t first, std::size_t rows);
  void leave(Timeline& timeline, int r, std::size_t first, std::size_t rows);
  void attend(Timeline& timeline, int r, int layer, std::size_t first, std::size_t rows);
  void feed_forward(const Layer& layer, int r, std::size_t rows);
  // States after loop r into states_.
  void gather_states(const Timeline& timeline, int r, std::size_t first, std::size_t rows);
  struct Projection {
    const Matrix* matrix;
    std::vector<float>* out;
  };
  // At most three matrices that read the same input.
  void project(std::initializer_list<Projection> projections, const std::vector<float>& x, std::size_t rows);

  const Model& model_;
  const Ops& ops_;
  ThreadPool& pool_;
  // Scratch, one row a token: the residual stream, states of a loop below, the normed copy, and what attention and the MLP pass on.
  std::vector<float> hidden_, states_, normed_, q_, k_, v_, global_, local_, mixed_, projected_, gate_, up_;
};

}  // namespace inference
