// Bookkeeping on the device: which loop a row runs, the chosen token back into the next step, states kept and fetched.
#include "cuda/kv.cuh"
#include "cuda/runtime.h"
#include "cuda/table.h"

namespace cuda {
namespace {

__global__ void set_loop_kernel(Rows rows, int count, int r) {
  let_next_start();
  wait_for_previous();
  const int row = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (row < count) rows.loop[row] = rows.depth[row] >= r ? r : 0;
}

__global__ void feed_back_kernel(Rows rows, const Choice* choices, int count, Choice* history, int history_stride, int* step) {
  let_next_start();
  wait_for_previous();
  const int row = static_cast<int>(threadIdx.x);
  const int at = *step;
  if (row < count) {
    const Choice choice = choices[row];
    rows.token[row] = max(choice.token, 0);
    rows.position[row] += 1;
    history[static_cast<std::size_t>(row) * history_stride + at] = choice;
  }
  __syncthreads();
  if (row == 0) *step = at + 1;
}

__global__ void scatter_kernel(float* states, const float* hidden, const long long* slot, const int* loop, int width, const long long* before, Gain carry) {
  let_next_start();
  wait_for_previous();
  const std::size_t row = blockIdx.x;
  if (slot[row] < 0 || (loop && loop[row] == 0)) return;
  const float* share = loop && loop[row] > 1 ? gain_of(carry, loop[row] - 1) : nullptr;
  const float* earlier = share ? states + static_cast<std::size_t>(before[row]) * width : nullptr;
  float* to = states + static_cast<std::size_t>(slot[row]) * width;
  for (int i = static_cast<int>(threadIdx.x); i < width; i += static_cast<int>(blockDim.x)) {
    to[i] = hidden[row * width + i] + (share ? share[i] * earlier[i] : 0.0f);
  }
}

__global__ void gather_kernel(float* hidden, const float* states, const long long* slot, int width) {
  let_next_start();
  wait_for_previous();
  const std::size_t row = blockIdx.x;
  if (slot[row] < 0) return;
  for (int i = static_cast<int>(threadIdx.x); i < width; i += static_cast<int>(blockDim.x)) hidden[row * width + i] = states[static_cast<std::size_t>(slot[row]) * width + i];
}

}  // namespace

void set_loop(Stream stream, const Rows& rows, int count, int r) {
  launch("set_loop", stream, set_loop_kernel, dim3(static_cast<unsigned>((count + 127) / 128)), dim3(128), 0, rows, count, r);
}

void feed_back(Stream stream, const Rows& rows, const Choice* choices, int count, Choice* history, int history_stride, int* step) {
  if (count > 1024) return fail("feed_back: it takes up to 1024 rows");
  launch("feed_back", stream, feed_back_kernel, dim3(1), dim3(static_cast<unsigned>((count + 31) / 32 * 32)), 0, rows, choices, count, history, history_stride, step);
}

void scatter_states(Stream stream, float* states, const float* hidden, const long long* slot, const int* loop, int count, int width,
                    const long long* before, const Gain& carry) {
  launch("scatter_states", stream, scatter_kernel, dim3(static_cast<unsigned>(count)), dim3(128), 0, states, hidden, slot, loop, width, before, carry);
}

void gather_states(Stream stream, float* hidden, const float* states, const long long* slot, int count, int width) {
  launch("gather_states", stream, gather_kernel, dim3(static_cast<unsigned>(count)), dim3(128), 0, hidden, states, slot, width);
}

}  // namespace cuda
