// Finishes queries, keys and values of one head: bias, norm, rotation.
#pragma once

#include "cuda/kv.cuh"

namespace cuda {

__device__ __forceinline__ void store_kv(void* base, Type type, std::size_t at, float value) {
  if (type == Type::bf16) {
    static_cast<__nv_bfloat16*>(base)[at] = __float2bfloat16(value);
  } else {
    static_cast<Fp8*>(base)[at] = Fp8(value);
  }
}

// What a lane has of a finished head: the pairs (lane, lane + half) and, where half > 32, (lane + 32, lane + 32 + half).
template <int kPairs>
struct HeadPart {
  float low[kPairs], high[kPairs];
};

// A lane's part of 2 * half values, as another block of the same kernel may have written them.
template <int kPairs>
__device__ __forceinline__ HeadPart<kPairs> head_part(const float* x, int half, int lane) {
  HeadPart<kPairs> head;
#pragma unroll
  for (int i = 0; i < kPairs; ++i) {
    const int at = lane + 32 * i;
    head.low[i] = at < half ? __ldcg(x + at) : 0.0f;
    head.high[i] = at < half ? __ldcg(x + at + half) : 0.0f;
  }
  return head;
}

// read(): the lane's part of the head, 2 * half values, of which bias and gain (null: none) have as many; turns: {cos, sin} of
// the position, [half], or null for values, which are not turned. All is asked for at once, because the latency of one trip
// is most of what this takes; and what is rounded when is not left to the compiler, as kernels for more rows must agree
// with those for fewer.
template <int kPairs, typename Read>
__device__ __forceinline__ HeadPart<kPairs> finish_head(const Read& read, const float* bias, const float* gain, const float2* turns, int half, float eps, int lane) {
  HeadPart<kPairs> scale, add;
  float2 turn[kPairs];
  float squares = 0;
#pragma unroll
  for (int i = 0; i < kPairs; ++i) {
    const int at = lane + 32 * i;
    const bool inside = at < half;
    scale.low[i] = gain && inside ? gain[at] : 1.0f;
    scale.high[i] = gain && inside ? gain[at + half] : 1.0f;
    turn[i] = turns && inside ? turns[at] : make_float2(1, 0);
    add.low[i] = bias && inside ? bias[at] : 0.0f;
    add.high[i] = bias && inside ? bias[at + half] : 0.0f;
  }
  HeadPart<kPairs> head = read();
#pragma unroll
  for (int i = 0; i < kPairs; ++i) head.low[i] += add.low[i], head.high[i] += add.high[i];
#pragma unroll
  for (int i = 0; i < kPairs; ++i) squares = __fmaf_rn(head.low[i], head.low[i], __fmaf_rn(head.high[i], head.high[i], squares));
  const float whole = warp_sum(squares);
  const float norm = gain ? rsqrtf(whole / static_cast<float>(2 * half) + eps) : 1.0f;
#pragma unroll
  for (int i = 0; i < kPairs; ++i) {
    const float a = head.low[i] * (norm * scale.low[i]);
    const float b = head.high[i] * (norm * scale.high[i]);
    head.low[i] = __fmaf_rn(a, turn[i].x, -__fmul_rn(b, turn[i].y));
    head.high[i] = __fmaf_rn(b, turn[i].x, __fmul_rn(a, turn[i].y));
  }
  return head;
}

}  // namespace cuda
