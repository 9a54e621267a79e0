// Finishes queries, keys and values of new positions: bias, norm per head, rotation; keys and values go into the cache.
#include <string>

#include "cuda/kv.cuh"
#include "cuda/runtime.h"
#include "cuda/table.h"

namespace cuda {
namespace {

constexpr int kWarps = 4;

__device__ void store(void* base, Type type, std::size_t at, float value) {
  if (type == Type::bf16) {
    static_cast<__nv_bfloat16*>(base)[at] = __float2bfloat16(value);
  } else {
    static_cast<Fp8*>(base)[at] = Fp8(value);
  }
}

// One warp for one head of one row: lane i has the pairs (i, i + half) and, where half > 32, (i + 32, i + 32 + half).
__global__ void rope_write_kernel(float* qkv, KvCache cache, const float* bias, const float* q_gain, const float* k_gain, const float2* table,
                                  Rows rows, HeadShape shape, float eps) {
  let_next_start();
  wait_for_previous();
  const int row = static_cast<int>(blockIdx.x);
  const int head = static_cast<int>(blockIdx.y) * kWarps + static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int all_heads = shape.heads + 2 * shape.kv_heads;
  const int loop = rows.loop[row];
  if (head >= all_heads || loop == 0) return;
  const int half = shape.head_dim / 2;
  const int position = rows.position[row];
  float* x = qkv + (static_cast<std::size_t>(row) * all_heads + head) * shape.head_dim;

  float a[2] = {0, 0}, b[2] = {0, 0};
  float squares = 0;
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const int at = lane + 32 * i;
    if (at >= half) continue;
    a[i] = x[at];
    b[i] = x[at + half];
    if (bias) {
      a[i] += bias[head * shape.head_dim + at];
      b[i] += bias[head * shape.head_dim + at + half];
    }
    squares += a[i] * a[i] + b[i] * b[i];
  }
  const bool is_query = head < shape.heads;
  const bool is_value = head >= shape.heads + shape.kv_heads;
  const float* gain = is_query ? q_gain : is_value ? nullptr : k_gain;
  const float scale = gain ? rsqrtf(warp_sum(squares) / static_cast<float>(shape.head_dim) + eps) : 1.0f;
  const int kv_head = (head - shape.heads) % shape.kv_heads;
  const std::size_t to = is_query ? 0 : kv_offset(page_table(rows, row, loop)[position / kPage], position, kv_head, shape);
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const int at = lane + 32 * i;
    if (at >= half) continue;
    float low = a[i], high = b[i];
    if (gain) {
      low *= scale * gain[at];
      high *= scale * gain[at + half];
    }
    if (!is_value) {
      const float2 turn = table[static_cast<std::size_t>(position) * half + at];
      const float turned = low * turn.x - high * turn.y;
      high = high * turn.x + low * turn.y;
      low = turned;
    }
    if (is_query) {
      x[at] = low;
      x[at + half] = high;
    } else {
      void* base = is_value ? cache.values : cache.keys;
      store(base, cache.type, to + at, low);
      store(base, cache.type, to + at + half, high);
    }
  }
}

}  // namespace

void rope_write(Stream stream, float* qkv, const KvCache& cache, const float* bias, const float* q_gain, const float* k_gain, const float* table,
                const Rows& rows, int count, const HeadShape& shape, float eps) {
  if (shape.head_dim > 128 || shape.head_dim % 8 != 0) return fail("rope_write: head_dim " + std::to_string(shape.head_dim) + "; it takes multiples of 8 up to 128");
  const int heads = shape.heads + 2 * shape.kv_heads;
  launch("rope_write", stream, rope_write_kernel, dim3(static_cast<unsigned>(count), static_cast<unsigned>((heads + kWarps - 1) / kWarps)), dim3(kWarps * 32), 0, qkv,
         cache, bias, q_gain, k_gain, reinterpret_cast<const float2*>(table), rows, shape, eps);
}

}  // namespace cuda
