// Finishes queries, keys and values of new positions: bias, norm per head, rotation; keys and values go into the cache.
#include <string>

#include "cuda/heads.cuh"
#include "cuda/runtime.h"
#include "cuda/table.h"

namespace cuda {
namespace {

constexpr int kWarps = 4;

struct RopeArguments {
  KvCache cache;
  const float* bias;  // [heads + 2 kv_heads][head_dim], or null
  Gain q_gain;        // [head_dim] each, or null
  Gain k_gain;
  Rows rows;
  HeadShape shape;
  float eps;
};

__global__ void rope_write_kernel(float* qkv, const float2* table, RopeArguments p) {
  let_next_start();
  wait_for_previous();
  const int row = static_cast<int>(blockIdx.x);
  const int head = static_cast<int>(blockIdx.y) * kWarps + static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int all_heads = p.shape.heads + 2 * p.shape.kv_heads;
  const int loop = p.rows.loop[row];
  if (head >= all_heads || loop == 0) return;
  const int half = p.shape.head_dim / 2;
  const int position = p.rows.position[row];
  const bool is_query = head < p.shape.heads;
  const bool is_value = head >= p.shape.heads + p.shape.kv_heads;
  float* x = qkv + (static_cast<std::size_t>(row) * all_heads + head) * p.shape.head_dim;
  const float* gain = is_query ? gain_of(p.q_gain, loop) : is_value ? nullptr : gain_of(p.k_gain, loop);
  const float2* turns = is_value ? nullptr : table + static_cast<std::size_t>(position) * half;
  const HeadPart<2> part = finish_head<2>([&] { return head_part<2>(x, half, lane); }, p.bias ? p.bias + head * p.shape.head_dim : nullptr, gain, turns, half, p.eps, lane);
  const int kv_head = head - p.shape.heads - (is_value ? p.shape.kv_heads : 0);
  const std::size_t line = is_query ? 0 : kv_offset(page_table(p.rows, row, loop)[position / kPage], position, kv_head, p.shape);
  void* base = is_value ? p.cache.values : p.cache.keys;
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const int at = lane + 32 * i;
    if (at >= half) continue;
    if (is_query) {
      x[at] = part.low[i];
      x[at + half] = part.high[i];
    } else {
      store_kv(base, p.cache.type, line + static_cast<std::size_t>(at), part.low[i]);
      store_kv(base, p.cache.type, line + static_cast<std::size_t>(at + half), part.high[i]);
    }
  }
}

}  // namespace

void rope_write(Stream stream, float* qkv, const KvCache& cache, const float* bias, const Gain& q_gain, const Gain& k_gain, const float* table,
                const Rows& rows, int count, const HeadShape& shape, float eps) {
  if (shape.head_dim > 128 || shape.head_dim % 8 != 0) return fail("rope_write: head_dim " + std::to_string(shape.head_dim) + "; it takes multiples of 8 up to 128");
  const int heads = shape.heads + 2 * shape.kv_heads;
  const RopeArguments p{cache, bias, q_gain, k_gain, rows, shape, eps};
  launch("rope_write", stream, rope_write_kernel, dim3(static_cast<unsigned>(count), static_cast<unsigned>((heads + kWarps - 1) / kWarps)), dim3(kWarps * 32), 0, qkv, reinterpret_cast<const float2*>(table), p);
}

}  // namespace cuda
