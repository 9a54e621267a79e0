// The operations of the forward pass, as a table that the specification and the fast CPU path both fill.
#pragma once

#include <cstddef>

#include "inference/model.h"
#include "inference/thread_pool.h"

namespace inference {

// Keys or values of one layer: row of position p is at data + slot(p) * width, slot(p) = p % capacity. For a cache that
// holds every position, capacity is larger than any position.
struct KvView {
  const float* keys = nullptr;    // [capacity][kv_heads * head_dim]
  const float* values = nullptr;  // the same
  std::size_t capacity = 0;
};

struct AttentionShape {
  int heads = 0;
  int kv_heads = 0;
  int head_dim = 0;
};

// Every function takes row-major float32 activations: [rows][width], one row a token. Outputs may not alias inputs.
struct Ops {
  // out[row] = embedding[ids[row]]
  void (*embed)(ThreadPool&, float* out, const Matrix& embedding, const TokenId* ids, std::size_t rows);

  // out = x / sqrt(mean(x^2) + eps) * gain, over `width` values; a null gain counts as ones.
  void (*rms_norm)(ThreadPool&, float* out, const float* x, const float* gain, std::size_t rows, std::size_t width, float eps);

  // out[rows][matrix.rows] = x[rows][matrix.cols] * matrix^T
  void (*matmul)(ThreadPool&, float* out, const float* x, const Matrix& matrix, std::size_t rows);

  // Rotates pairs (i, i + head_dim / 2) of every head in place by position * theta^(-2i / head_dim): the "half-split"
  // form of NeoX and Llama checkpoints. Row r has position first + r.
  void (*rope)(ThreadPool&, float* x, std::size_t rows, int heads, int head_dim, std::size_t first, double theta);

  // Softmax attention of queries [rows][heads * head_dim] at positions first + row over keys of positions
  // [max(0, p - window + 1), p]; window 0 means all. Query head h reads kv head h / (heads / kv_heads).
  void (*attention)(ThreadPool&, float* out, const float* queries, const KvView& kv, const AttentionShape& shape,
                    std::size_t rows, std::size_t first, std::size_t window);

  // out = sigmoid(gate) * up, times gate: silu(gate) * up.
  void (*swiglu)(ThreadPool&, float* out, const float* gate, const float* up, std::size_t count);
};

// Plain loops: the specification. Never optimised.
const Ops& reference_ops();
// SIMD (chosen at run time for the CPU at hand) and threads; tested against reference_ops().
const Ops& fast_ops();
// The instruction set fast_ops() runs on, e.g. "AVX3_DL".
const char* fast_ops_target();

// mixed[row][head] = g * global + (1 - g) * local with g = sigmoid(query . weight[head] + bias[head]): how loops >= 2
// combine their two attentions. Small enough to have one implementation.
void mix_by_gate(float* mixed, const float* global, const float* local, const float* queries, const float* weight,
                 const float* bias, std::size_t rows, int heads, int head_dim);

}  // namespace inference
