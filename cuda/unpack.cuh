// Reads single weights of a packed matrix on the device: for embedding rows and for prefill's bf16 copy.
#pragma once

#include "cuda/device.cuh"
#include "cuda/layout.h"

namespace cuda {

// The weight at (row, col), as f32. Slow: a few loads each; the hot kernels read whole tiles instead.
__device__ __forceinline__ float weight_at(const Matrix& m, int row, int col) {
  const unsigned char* data = static_cast<const unsigned char*>(m.data);
  const Address at = address(m, row, col);
  if (m.packed == Packed::bf16) return __bfloat162float(*reinterpret_cast<const __nv_bfloat16*>(data + at.byte));
  if (m.packed == Packed::pair) {
    return __bfloat162float(*reinterpret_cast<const __nv_bfloat16*>(data + at.byte)) +
           __bfloat162float(*reinterpret_cast<const __nv_bfloat16*>(data + at.byte + 2048));
  }
  const std::size_t index = scale_index(m, row, col / m.group);
  const unsigned char* scales = data + tiles_bytes(m);
  const int stored = data[at.byte];
  if (m.packed == Packed::int8) return static_cast<float>(static_cast<signed char>(stored)) * reinterpret_cast<const float*>(scales)[index];
  const int q = at.nibble ? stored >> 4 : stored & 15;
  const float zero = m.packed == Packed::int4 ? 8.0f : __bfloat162float(reinterpret_cast<const __nv_bfloat16*>(scales + scales_bytes(m))[index]) - 128.0f;
  return (static_cast<float>(q) - zero) * __half2float(reinterpret_cast<const __half*>(scales)[index]);
}

}  // namespace cuda
