// The residual stream at the entry of a loop: the embedding, the state that the loop before left, or both normed.
#include "cuda/kv.cuh"
#include "cuda/runtime.h"
#include "cuda/table.h"
#include "cuda/unpack.cuh"

namespace cuda {
namespace {

__global__ void enter_kernel(float* out, const float* state, Matrix embedding, Gain input_gain, Gain state_gain, Rows rows, int width, float eps) {
  extern __shared__ float embedded[];  // [width]
  __shared__ float scratch[32];
  let_next_start();
  wait_for_previous();
  const int row = static_cast<int>(blockIdx.x);
  const int loop = rows.loop[row];
  if (loop == 0) return;
  const std::size_t start = static_cast<std::size_t>(row) * static_cast<std::size_t>(width);
  const int threads = static_cast<int>(blockDim.x);
  const int tid = static_cast<int>(threadIdx.x);
  if (!input_gain.data && loop > 1) {
    for (int i = tid; i < width; i += threads) out[start + i] = state[start + i];
    return;
  }
  const int token = rows.token[row];
  float sum = 0, state_sum = 0;
  for (int i = tid; i < width; i += threads) {
    const float value = weight_at(embedding, token, i);
    embedded[i] = value;
    sum += value * value;
    if (input_gain.data && loop > 1) state_sum += state[start + i] * state[start + i];
  }
  if (!input_gain.data) {
    for (int i = tid; i < width; i += threads) out[start + i] = embedded[i];  // each thread reads what it wrote
    return;
  }
  const float scale = rsqrtf(block_sum(sum, scratch) / static_cast<float>(width) + eps);
  const float* gain = gain_of(input_gain, loop);
  if (loop == 1) {
    for (int i = tid; i < width; i += threads) out[start + i] = embedded[i] * scale * gain[i];
    return;
  }
  const float state_scale = rsqrtf(block_sum(state_sum, scratch) / static_cast<float>(width) + eps);
  const float* other = gain_of(state_gain, loop - 1);
  for (int i = tid; i < width; i += threads) {
    out[start + i] = embedded[i] * scale * gain[i] + state[start + i] * state_scale * (other ? other[i] : 1.0f);
  }
}

}  // namespace

void enter(Stream stream, float* out, const float* state, const Matrix& embedding, const Gain& input_gain, const Gain& state_gain,
           const Rows& rows, int count, int width, float eps) {
  launch("enter", stream, enter_kernel, dim3(static_cast<unsigned>(count)), dim3(width >= 512 ? 256 : 64), static_cast<std::size_t>(width) * sizeof(float), out,
         state, embedding, input_gain, state_gain, rows, width, eps);
}

}  // namespace cuda
