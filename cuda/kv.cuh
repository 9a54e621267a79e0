// Finds keys and values in the paged cache, and converts its element types.
#pragma once

#include "cuda/device.cuh"
#include "cuda/plugin.h"

namespace cuda {

using Fp8 = __nv_fp8_e4m3;

__host__ __device__ __forceinline__ const float* gain_of(const Gain& gain, int loop) {
  const int row = loop > gain.loops ? gain.loops : loop;
  return gain.data ? gain.data + static_cast<std::size_t>(row > 1 ? row - 1 : 0) * static_cast<std::size_t>(gain.stride) : nullptr;
}

// First element of (kv_head, position) in a pool of pages [page][kv_head][kPage][head_dim].
__device__ __forceinline__ std::size_t kv_offset(int page, int position, int kv_head, const HeadShape& shape) {
  const std::size_t line = (static_cast<std::size_t>(page) * static_cast<std::size_t>(shape.kv_heads) + static_cast<std::size_t>(kv_head)) * kPage + static_cast<std::size_t>(position % kPage);
  return line * static_cast<std::size_t>(shape.head_dim);
}

// The page table of a row's KV1 (loop 1) or of its own loop.
__device__ __forceinline__ const int* page_table(const Rows& rows, int row, int loop) {
  return rows.pages + static_cast<std::size_t>(rows.table[row] + loop - 1) * static_cast<std::size_t>(rows.table_stride);
}

// Eight consecutive elements, 16 or 8 bytes.
__device__ __forceinline__ uint4 load_eight(const __nv_bfloat16* at) { return *reinterpret_cast<const uint4*>(at); }
__device__ __forceinline__ uint2 load_eight(const Fp8* at) { return *reinterpret_cast<const uint2*>(at); }

__device__ __forceinline__ void unpack_eight(float (&out)[8], const uint4& v) {
  out[0] = bf16_low(v.x), out[1] = bf16_high(v.x), out[2] = bf16_low(v.y), out[3] = bf16_high(v.y);
  out[4] = bf16_low(v.z), out[5] = bf16_high(v.z), out[6] = bf16_low(v.w), out[7] = bf16_high(v.w);
}
__device__ __forceinline__ void unpack_eight(float (&out)[8], const uint2& v) {
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const unsigned word = i < 2 ? v.x : v.y;
    const __half2 pair = __half2(__nv_cvt_fp8x2_to_halfraw2(static_cast<__nv_fp8x2_storage_t>(word >> (i % 2 * 16)), __NV_E4M3));
    const float2 both = __half22float2(pair);
    out[2 * i] = both.x;
    out[2 * i + 1] = both.y;
  }
}

}  // namespace cuda
