// Finishes the queries, keys and values of one head of a row: bias, norm, rotation; keys and values go into the cache.
#pragma once

#include "cuda/kv.cuh"

namespace cuda {

struct HeadArguments {
  KvCache cache;
  const float* bias;  // [heads + 2 kv_heads][head_dim], or null
  Gain q_gain;        // [head_dim] each, or null
  Gain k_gain;
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

// x: head_dim values of head `head` (queries first, then keys, then values) of a row in a loop >= 1; turns: {cos, sin} of its
// position, [head_dim / 2]. A query goes to `to`, floats, which may be x; keys and values go to the cache and, where `to`
// is given, there as well, as the cache has them. Lane i has the pairs (i, i + half) and, where half > 32, (i + 32, ...).
__device__ __forceinline__ void finish_head(const HeadArguments& p, int row, int head, int lane, const float* x, const float2* turns, void* to) {
  const int half = p.shape.head_dim / 2;
  const int position = p.rows.position[row];
  const int loop = p.rows.loop[row];
  const bool is_query = head < p.shape.heads;
  const bool is_value = head >= p.shape.heads + p.shape.kv_heads;
  float a[2] = {0, 0}, b[2] = {0, 0};
  float2 turn[2];
  float squares = 0;
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const int at = lane + 32 * i;
    if (at >= half) continue;
    turn[i] = is_value ? make_float2(1, 0) : turns[at];
    a[i] = __ldcg(x + at);  // another block of the same kernel may have written it
    b[i] = __ldcg(x + at + half);
    if (p.bias) {
      a[i] += p.bias[head * p.shape.head_dim + at];
      b[i] += p.bias[head * p.shape.head_dim + at + half];
    }
    squares += a[i] * a[i] + b[i] * b[i];
  }
  const float* gain = is_query ? gain_of(p.q_gain, loop) : is_value ? nullptr : gain_of(p.k_gain, loop);
  const float scale = gain ? rsqrtf(warp_sum(squares) / static_cast<float>(p.shape.head_dim) + p.eps) : 1.0f;
  const int kv_head = head - p.shape.heads - (is_value ? p.shape.kv_heads : 0);
  const std::size_t line = is_query ? 0 : kv_offset(page_table(p.rows, row, loop)[position / kPage], position, kv_head, p.shape);
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
      static_cast<float*>(to)[at] = low;
      static_cast<float*>(to)[at + half] = high;
    } else {
      void* base = is_value ? p.cache.values : p.cache.keys;
      store_kv(base, p.cache.type, line + at, low);
      store_kv(base, p.cache.type, line + at + half, high);
      if (to) {
        store_kv(to, p.cache.type, static_cast<std::size_t>(at), low);
        store_kv(to, p.cache.type, static_cast<std::size_t>(at + half), high);
      }
    }
  }
}

}  // namespace cuda
