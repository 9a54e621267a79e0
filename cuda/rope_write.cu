// Finishes queries, keys and values of new positions: bias, norm per head, rotation; keys and values go into the cache.
#include <string>

#include "cuda/kv.cuh"
#include "cuda/runtime.h"
#include "cuda/table.h"

namespace cuda {
namespace {

constexpr int kWarps = 4;

struct RopeArguments {
  KvCache cache;
  const float* bias;    // [heads + 2 kv_heads][head_dim], or null
  const float* q_gain;  // [head_dim], or null
  const float* k_gain;
  const float2* table;  // [position][head_dim / 2]
  Rows rows;
  HeadShape shape;
  float eps;
};

__device__ __forceinline__ void store_kv(void* base, Type type, std::size_t at, float value) {
  if (type == Type::bf16) {
    static_cast<__nv_bfloat16*>(base)[at] = __float2bfloat16(value);
  } else {
    static_cast<Fp8*>(base)[at] = Fp8(value);
  }
}

// x: head_dim values of head `head` (queries first, then keys, then values) of a row in a loop >= 1. A query goes to `to`,
// which may be x; keys and values go to the cache. Lane i has the pairs (i, i + half) and, where half > 32, (i + 32, ...).
__device__ __forceinline__ void finish_head(const RopeArguments& p, int row, int head, int lane, const float* x, float* to) {
  const int half = p.shape.head_dim / 2;
  const int position = p.rows.position[row];
  const bool is_query = head < p.shape.heads;
  const bool is_value = head >= p.shape.heads + p.shape.kv_heads;
  float a[2] = {0, 0}, b[2] = {0, 0};
  float2 turn[2];
  float squares = 0;
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const int at = lane + 32 * i;
    if (at >= half) continue;
    turn[i] = is_value ? make_float2(1, 0) : p.table[static_cast<std::size_t>(position) * half + at];
    a[i] = x[at];
    b[i] = x[at + half];
    if (p.bias) {
      a[i] += p.bias[head * p.shape.head_dim + at];
      b[i] += p.bias[head * p.shape.head_dim + at + half];
    }
    squares += a[i] * a[i] + b[i] * b[i];
  }
  const float* gain = is_query ? p.q_gain : is_value ? nullptr : p.k_gain;
  const float scale = gain ? rsqrtf(warp_sum(squares) / static_cast<float>(p.shape.head_dim) + p.eps) : 1.0f;
  const int kv_head = (head - p.shape.heads) % p.shape.kv_heads;
  const std::size_t line = is_query ? 0 : kv_offset(page_table(p.rows, row, p.rows.loop[row])[position / kPage], position, kv_head, p.shape);
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const int at = lane + 32 * i;
    if (at >= half) continue;
    if (gain) {
      a[i] *= scale * gain[at];
      b[i] *= scale * gain[at + half];
    }
    const float low = a[i] * turn[i].x - b[i] * turn[i].y;
    const float high = b[i] * turn[i].x + a[i] * turn[i].y;
    if (is_query) {
      to[at] = low;
      to[at + half] = high;
    } else {
      void* base = is_value ? p.cache.values : p.cache.keys;
      store_kv(base, p.cache.type, line + at, low);
      store_kv(base, p.cache.type, line + at + half, high);
    }
  }
}

__global__ void rope_write_kernel(float* qkv, RopeArguments p) {
  let_next_start();
  wait_for_previous();
  const int row = static_cast<int>(blockIdx.x);
  const int head = static_cast<int>(blockIdx.y) * kWarps + static_cast<int>(threadIdx.x) / 32;
  const int all_heads = p.shape.heads + 2 * p.shape.kv_heads;
  if (head >= all_heads || p.rows.loop[row] == 0) return;
  float* x = qkv + (static_cast<std::size_t>(row) * all_heads + head) * p.shape.head_dim;
  finish_head(p, row, head, static_cast<int>(threadIdx.x) % 32, x, x);
}

}  // namespace

void rope_write(Stream stream, float* qkv, const KvCache& cache, const float* bias, const float* q_gain, const float* k_gain, const float* table,
                const Rows& rows, int count, const HeadShape& shape, float eps) {
  if (shape.head_dim > 128 || shape.head_dim % 8 != 0) return fail("rope_write: head_dim " + std::to_string(shape.head_dim) + "; it takes multiples of 8 up to 128");
  const int heads = shape.heads + 2 * shape.kv_heads;
  const RopeArguments p{cache, bias, q_gain, k_gain, reinterpret_cast<const float2*>(table), rows, shape, eps};
  launch("rope_write", stream, rope_write_kernel, dim3(static_cast<unsigned>(count), static_cast<unsigned>((heads + kWarps - 1) / kWarps)), dim3(kWarps * 32), 0, qkv, p);
}

}  // namespace cuda
