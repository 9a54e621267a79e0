// How blocks of a loop's one kernel know that a value is there: it says so itself.
//
// With one row, every value that passes between blocks carries the number of its layer, modulo four, in the two lowest bits of
// its mantissa (2^-22 of it). Whoever needs it reads it again until the number is right: one way through L2, where a
// meeting takes a release, a poll and a read. A buffer is written once a layer, so that what lies there from before has
// the number before; nothing else is told by it, so no order of writes is relied upon. A block writes what others may still
// read of the layer before only when it has itself read something that all of them made afterwards.
//
// With several rows blocks meet, and the same bits are dropped, so that a row's results do not depend on its company.
#pragma once

#include "cuda/device.cuh"

namespace cuda {

#if __CUDA_ARCH__ >= 900

__device__ __forceinline__ float with_bits(float value, uint32_t bits) { return __uint_as_float((__float_as_uint(value) & ~3u) | bits); }

// Those of one step.
template <bool kMarked>
struct Marks {
  uint32_t x, x_mask;    // that its input carries; 3, or 0 where it carries none or is not waited for
  uint32_t out;          // that its results get
  uint32_t before_mask;  // 3 where what they are added to carries one

  __device__ __forceinline__ float result(float value) const { return with_bits(value, kMarked ? out : 0); }
  __device__ __forceinline__ float4 result(const float4& v) const { return {result(v.x), result(v.y), result(v.z), result(v.w)}; }
  __device__ __forceinline__ float before(float value) const {
    return kMarked ? __uint_as_float(__float_as_uint(value) & ~before_mask) : value;
  }
  __device__ __forceinline__ float bare(float value) const { return kMarked ? __uint_as_float(__float_as_uint(value) & ~x_mask) : value; }
  __device__ __forceinline__ float4 bare(const float4& v) const { return {bare(v.x), bare(v.y), bare(v.z), bare(v.w)}; }
  __device__ __forceinline__ bool there(float value) const { return !kMarked || ((__float_as_uint(value) ^ x) & x_mask) == 0; }
  __device__ __forceinline__ bool there(const float4& v) const { return there(v.x) && there(v.y) && there(v.z) && there(v.w); }
};

// Of values that are made and used within a layer.
template <bool kMarked>
__device__ __forceinline__ Marks<kMarked> whole_marks(unsigned layer) {
  const uint32_t own = (layer + 1) & 3;
  return {own, 3, own, 3};
}

// Of a product's input, results and what these are added to. Before the first layer all is another kernel's. A row that sits
// out waits for nothing, and nothing of it is written.
template <bool kMarked>
__device__ __forceinline__ Marks<kMarked> marks_of(unsigned layer, int i, int matrix, bool waits) {
  const uint32_t own = (layer + 1) & 3;
  const uint32_t from_before = i == 0 ? 0u : 3u;
  return {matrix == 0 ? layer & 3 : own, !waits ? 0u : matrix == 0 ? from_before : 3u, own, matrix == 1 ? from_before : 3u};
}

// Reads past L1, every time anew.
__device__ __forceinline__ float read_again(const float* at) {
  float value;
  asm volatile("ld.relaxed.gpu.global.f32 %0, [%1];" : "=f"(value) : "l"(at) : "memory");
  return value;
}
__device__ __forceinline__ float2 read_again(const float2* at) {
  float2 v;
  asm volatile("ld.relaxed.gpu.global.v2.f32 {%0, %1}, [%2];" : "=f"(v.x), "=f"(v.y) : "l"(at) : "memory");
  return v;
}
__device__ __forceinline__ float4 read_again(const float4* at) {
  float4 v;
  asm volatile("ld.relaxed.gpu.global.v4.f32 {%0, %1, %2, %3}, [%4];" : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w) : "l"(at) : "memory");
  return v;
}

#endif

}  // namespace cuda
