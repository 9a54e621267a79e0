// Finishes queries, keys and values of new positions: bias, norm per head, rotation; keys and values go into the cache.
#include <string>

#include "cuda/heads.cuh"
#include "cuda/runtime.h"
#include "cuda/table.h"

namespace cuda {
namespace {

constexpr int kWarps = 4;

__global__ void rope_write_kernel(float* qkv, const float2* table, HeadArguments p) {
  let_next_start();
  wait_for_previous();
  const int row = static_cast<int>(blockIdx.x);
  const int head = static_cast<int>(blockIdx.y) * kWarps + static_cast<int>(threadIdx.x) / 32;
  const int all_heads = p.shape.heads + 2 * p.shape.kv_heads;
  if (head >= all_heads || p.rows.loop[row] == 0) return;
  float* x = qkv + (static_cast<std::size_t>(row) * all_heads + head) * p.shape.head_dim;
  finish_head(p, row, head, static_cast<int>(threadIdx.x) % 32, x, table + static_cast<std::size_t>(p.rows.position[row]) * (p.shape.head_dim / 2), x);
}

}  // namespace

void rope_write(Stream stream, float* qkv, const KvCache& cache, const float* bias, const Gain& q_gain, const Gain& k_gain, const float* table,
                const Rows& rows, int count, const HeadShape& shape, float eps) {
  if (shape.head_dim > 128 || shape.head_dim % 8 != 0) return fail("rope_write: head_dim " + std::to_string(shape.head_dim) + "; it takes multiples of 8 up to 128");
  const int heads = shape.heads + 2 * shape.kv_heads;
  const HeadArguments p{cache, bias, q_gain, k_gain, rows, shape, eps};
  launch("rope_write", stream, rope_write_kernel, dim3(static_cast<unsigned>(count), static_cast<unsigned>((heads + kWarps - 1) / kWarps)), dim3(kWarps * 32), 0, qkv, reinterpret_cast<const float2*>(table), p);
}

}  // namespace cuda
