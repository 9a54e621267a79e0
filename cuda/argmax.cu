// The greedy choice among allowed tokens, with its log probability and how near the second came.
#include "cuda/runtime.h"
#include "cuda/device.cuh"
#include "cuda/table.h"

namespace cuda {
namespace {

struct Best {
  float first = -INFINITY, second = -INFINITY;  // the two largest allowed logits
  int token = -1;
  float largest = -INFINITY, total = 0;  // of all logits: total = sum e^(logit - largest)
};

// Equal logits: the lower id wins, and the other counts as second.
__device__ void see(Best& best, float logit, int token) {
  if (logit > best.first || (logit == best.first && token < best.token) || best.token < 0) {
    best.second = best.token < 0 ? best.second : best.first;
    best.first = logit;
    best.token = token;
  } else if (logit > best.second) {
    best.second = logit;
  }
}

__device__ void count_mass(Best& best, float largest, float total) {
  if (total == 0) return;
  const float most = fmaxf(best.largest, largest);
  best.total = (best.total == 0 ? 0 : best.total * expf(best.largest - most)) + total * expf(largest - most);
  best.largest = most;
}

__device__ void merge(Best& best, const Best& other) {
  if (other.token >= 0) {
    const float second = other.second;
    see(best, other.first, other.token);
    if (second > best.second) best.second = second;
  }
  count_mass(best, other.largest, other.total);
}

__global__ __launch_bounds__(1024) void argmax_kernel(Choice* out, const float* logits, int vocab, const uint32_t* allowed, const int* mask, int bias_token, float bias) {
  __shared__ Best warps[32];
  let_next_start();
  wait_for_previous();
  const int row = static_cast<int>(blockIdx.x);
  const float* own = logits + static_cast<std::size_t>(row) * vocab;
  const int which = mask ? mask[row] : -1;
  const uint32_t* bits = allowed && which >= 0 ? allowed + static_cast<std::size_t>(which) * ((vocab + 31) / 32) : nullptr;
  Best best;
  for (int i = static_cast<int>(threadIdx.x); i < vocab; i += static_cast<int>(blockDim.x)) {
    const float logit = own[i];
    count_mass(best, logit, 1);
    if (!bits || (bits[i / 32] >> (i % 32) & 1u)) see(best, i == bias_token ? logit + bias : logit, i);
  }
  for (int offset = 16; offset > 0; offset /= 2) {
    Best other;
    other.first = __shfl_down_sync(0xffffffffu, best.first, offset);
    other.second = __shfl_down_sync(0xffffffffu, best.second, offset);
    other.token = __shfl_down_sync(0xffffffffu, best.token, offset);
    other.largest = __shfl_down_sync(0xffffffffu, best.largest, offset);
    other.total = __shfl_down_sync(0xffffffffu, best.total, offset);
    merge(best, other);
  }
  if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = best;
  __syncthreads();
  if (threadIdx.x != 0) return;
  for (unsigned w = 1; w < blockDim.x / 32; ++w) merge(best, warps[w]);
  const float chosen = best.token >= 0 ? own[best.token] : -INFINITY;
  out[row] = {best.token, chosen - best.largest - logf(best.total), best.first, best.second};
}

}  // namespace

void argmax(Stream stream, Choice* out, const float* logits, int rows, int vocab, const std::uint32_t* allowed, const int* mask, int bias_token, float bias) {
  launch("argmax", stream, argmax_kernel, dim3(static_cast<unsigned>(rows)), dim3(1024), 0, out, logits, vocab, allowed, mask, bias_token, bias);
}

}  // namespace cuda
