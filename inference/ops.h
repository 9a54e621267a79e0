// The operations of the forward pass, as a table that the specification and the fast CPU path both fill.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "inference/model.h"
#include "inference/thread_pool.h"

namespace inference {

// Positions whose keys lie side by side, so that one vector holds the same element of 16 keys.
constexpr std::size_t kKeyBlock = 16;
// Positions of a page, the unit in which caches grow and are shared.
constexpr std::size_t kKvPage = 64;

// float16 halves what attention reads, at a relative error of 2^-11; values beyond its range are clamped to it. The
// specification computes with either.
enum class KvType { f32, f16 };
inline std::size_t size_of(KvType type) { return type == KvType::f16 ? 2 : 4; }

// Where the keys and values of one layer lie, width = kv_heads * head_dim elements a position. Position p has slot
// p % (64 * pages), in page slot / 64; within a page, element i of the key at slot s is
//   keys[((s % 64 / 16) * width + i) * 16 + s % 16], and of the value at slot s, values[s % 64 * width + i].
struct KvView {
  std::byte* const* pages = nullptr;
  std::size_t page_count = 0;
  std::size_t keys = 0;    // bytes from a page's start to this layer's keys
  std::size_t values = 0;  // and to its values
  KvType type = KvType::f32;
  std::size_t first = 0;   // positions before this one hold nothing

  std::byte* page_of(std::size_t position) const { return pages[position / kKvPage % page_count]; }
};

// First position that a query at `position` sees through a window (0: no window).
inline std::size_t attention_begin(const KvView& kv, std::size_t position, std::size_t window) {
  const std::size_t begin = window != 0 && position + 1 > window ? position + 1 - window : 0;
  return begin > kv.first ? begin : kv.first;
}

struct AttentionShape {
  int heads = 0;
  int kv_heads = 0;
  int head_dim = 0;
};

// One result of a multiplication: out[rows][matrix.rows].
struct Product {
  const Matrix* matrix = nullptr;
  float* out = nullptr;
};

// Every function takes row-major float32 activations: [rows][width], one row a token. Outputs may not alias inputs.
struct Ops {
  // out[row] = embedding[ids[row]]
  void (*embed)(ThreadPool&, float* out, const Matrix& embedding, const TokenId* ids, std::size_t rows);

  // out = x / sqrt(mean(x^2) + eps) * gain, over `width` values; a null gain counts as ones.
  void (*rms_norm)(ThreadPool&, float* out, const float* x, const float* gain, std::size_t rows, std::size_t width, float eps);

  // out[rows][matrix.rows] = x[rows][matrix.cols] * matrix^T, for one or several matrices with the same input.
  void (*matmul)(ThreadPool&, std::span<const Product> products, const float* x, std::size_t rows);

  // Rotates pairs (i, i + head_dim / 2) of every head in place by position * theta^(-2i / head_dim): the "half-split"
  // form of NeoX and Llama checkpoints. Row r has position first + r.
  void (*rope)(ThreadPool&, float* x, std::size_t rows, int heads, int head_dim, std::size_t first, double theta);

  // Writes keys and values [rows][width] of positions first + row into their slots.
  void (*store)(const KvView& kv, const float* keys, const float* values, std::size_t width, std::size_t rows, std::size_t first);

  // Softmax attention of queries [rows][heads * head_dim] at positions p = first + row over the keys of positions
  // [attention_begin(p), p]. Query head h reads kv head h / (heads / kv_heads).
  void (*attention)(ThreadPool&, float* out, const float* queries, const KvView& kv, const AttentionShape& shape,
                    std::size_t rows, std::size_t first, std::size_t window);

  // out = sigmoid(gate) * up, times gate: silu(gate) * up.
  void (*swiglu)(ThreadPool&, float* out, const float* gate, const float* up, std::size_t count);
};

// Plain loops: the specification. Never optimised.
const Ops& reference_ops();
// SIMD (chosen at run time for the CPU at hand) and threads; tested against reference_ops().
const Ops& fast_ops();
// The same for every instruction set of this CPU, which tests go through. Not to be called while other threads compute.
struct NamedOps {
  const char* target;
  Ops ops;
};
std::vector<NamedOps> every_fast_ops();
// The instruction set fast_ops() runs on, e.g. "AVX3_DL".
const char* fast_ops_target();

// Index of the largest of `count` >= 1 values, the smaller one among equals.
std::size_t largest_index(const float* values, std::size_t count);
// log of the sum of exp(values).
float log_sum_exp(const float* values, std::size_t count);

// mixed[row][head] = g * global + (1 - g) * local with g = sigmoid(query . weight[head] + bias[head]): how loops >= 2
// combine their two attentions. Small enough to have one implementation.
void mix_by_gate(float* mixed, const float* global, const float* local, const float* queries, const float* weight,
                 const float* bias, std::size_t rows, int heads, int head_dim);

}  // namespace inference
