// Matrix products for prefill through cuBLASLt, which is opened when first wanted and never linked.
#pragma once

#include <cstddef>

#include "cuda/plugin.h"

namespace cuda {

constexpr std::size_t kCublasWorkspace = std::size_t{32} << 20;

// out[rows][outputs] (+)= x[rows][depth] * weights[outputs][depth]^T, bf16 operands, f32 sums; out is f32 or bf16. depth is a
// multiple of 8 and all pointers of 256 bytes. `workspace` has kCublasWorkspace bytes. Failures go to check() and fail().
void cublas_product(Stream stream, void* out, Type out_type, const void* x, const void* weights, int rows, int outputs, int depth, bool accumulate, void* workspace);

}  // namespace cuda
