// The greedy choice among allowed tokens, with its log probability and how near the second came.
#include "cuda/runtime.h"
#include "cuda/device.cuh"
#include "cuda/table.h"

namespace cuda {
namespace {

struct Best {
  float first = -INFINITY, second = -INFINITY;  // the two largest allowed logits
  int token = -1;
  float largest = -INFINITY;  // of all logits, allowed or not
};

// Equal logits: the lower id wins, and the other counts as second.
__device__ void see(Best& best, float logit, int token) {
  const bool better = logit > best.first || best.token < 0 || (logit == best.first && token < best.token);
  best.second = better ? best.first : fmaxf(best.second, logit);
  best.first = better ? logit : best.first;
  best.token = better ? token : best.token;
}

__device__ void merge(Best& best, const Best& other) {
  best.largest = fmaxf(best.largest, other.largest);
  if (other.token < 0) return;
  see(best, other.first, other.token);
  best.second = fmaxf(best.second, other.second);
}

// The best of the warp's 32, in lane 0.
__device__ Best merge_warp(Best best) {
  for (int offset = 16; offset > 0; offset /= 2) {
    Best other;
    other.first = __shfl_down_sync(0xffffffffu, best.first, offset);
    other.second = __shfl_down_sync(0xffffffffu, best.second, offset);
    other.token = __shfl_down_sync(0xffffffffu, best.token, offset);
    other.largest = __shfl_down_sync(0xffffffffu, best.largest, offset);
    merge(best, other);
  }
  return best;
}

__global__ __launch_bounds__(1024) void argmax_kernel(Choice* out, const float* logits, int vocab, const uint32_t* allowed, const int* mask, int bias_token, float bias) {
  __shared__ Best warps[32];
  __shared__ float scratch[32];
  let_next_start();
  wait_for_previous();
  const int row = static_cast<int>(blockIdx.x);
  const int tid = static_cast<int>(threadIdx.x);
  const float* own = logits + static_cast<std::size_t>(row) * vocab;
  const int which = mask ? mask[row] : -1;
  const uint32_t* bits = allowed && which >= 0 ? allowed + static_cast<std::size_t>(which) * ((vocab + 31) / 32) : nullptr;
  // The common case fits registers: no second trip to memory for the probabilities.
  constexpr int kKept = 16;
  float kept[kKept];
  Best best;
#pragma unroll
  for (int k = 0; k < kKept; ++k) {
    const int i = tid + k * 1024;
    kept[k] = i < vocab ? own[i] : -INFINITY;
  }
#pragma unroll
  for (int k = 0; k < kKept; ++k) {
    const int i = tid + k * 1024;
    best.largest = fmaxf(best.largest, kept[k]);
    if (i < vocab && (!bits || (bits[i / 32] >> (i % 32) & 1u))) see(best, i == bias_token ? kept[k] + bias : kept[k], i);
  }
#pragma unroll 8
  for (int i = tid + kKept * 1024; i < vocab; i += 1024) {
    const float logit = own[i];
    best.largest = fmaxf(best.largest, logit);
    if (!bits || (bits[i / 32] >> (i % 32) & 1u)) see(best, i == bias_token ? logit + bias : logit, i);
  }
  best = merge_warp(best);
  if (tid % 32 == 0) warps[tid / 32] = best;
  __syncthreads();
  best = merge_warp(warps[tid % 32]);  // every warp does, so that all know the largest
  const float largest = __shfl_sync(0xffffffffu, best.largest, 0);
  float total = 0;
#pragma unroll
  for (int k = 0; k < kKept; ++k) total += expf(kept[k] - largest);  // e^-inf is 0
#pragma unroll 8
  for (int i = tid + kKept * 1024; i < vocab; i += 1024) total += expf(own[i] - largest);
  total = block_sum(total, scratch);
  if (tid != 0) return;
  const float chosen = best.token >= 0 ? own[best.token] : -INFINITY;
  out[row] = {best.token, chosen - largest - logf(total), best.first, best.second};
}

}  // namespace

void argmax(Stream stream, Choice* out, const float* logits, int rows, int vocab, const std::uint32_t* allowed, const int* mask, int bias_token, float bias) {
  launch("argmax", stream, argmax_kernel, dim3(static_cast<unsigned>(rows)), dim3(1024), 0, out, logits, vocab, allowed, mask, bias_token, bias);
}

}  // namespace cuda
