// One loop of all layers as one kernel: its blocks stay, and meet at a barrier after every operation.
//
// Floor: every weight is read once, and keys and values of the context. Between two operations a block waits for the
// slowest and fetches what the others wrote, some 2 to 4 us; the weights of the operations that follow stream in meanwhile
// (stream.cuh). A small model runs in one cluster of 16 blocks, whose barrier costs a third of one through memory.
//
// Sums run in an order that depends on the model and the device only, never on the rows beside.
#pragma once

#include "cuda/pass_merge.cuh"
#include "cuda/pass_product.cuh"

namespace cuda {

#if __CUDA_ARCH__ >= 900

__device__ __forceinline__ void prefetch_line(const void* address) { asm volatile("prefetch.global.L2 [%0];" ::"l"(address) : "memory"); }

// The gains of the rows' loops, each block a piece; and the small vectors of attention. They come from memory once a layer,
// which takes longer than the step that needs them.
__device__ __forceinline__ void prefetch_gain(const Block& b, const Gain& gain, int width) {
  const int at = (b.member * kPassThreads + b.tid) * 32;  // a line each
  if (!gain.data || at >= width) return;
#pragma unroll 1
  for (int row = 0; row < (gain.stride > 0 ? b.p.count : 1); ++row) prefetch_line(gain_of(gain, b.loop[row]) + at);
}

template <int D, typename Element>
__device__ __forceinline__ void attention_step(const Block& b, Pages<D, Element>& pages, const PassLayer& layer, Unit unit, bool has_unit) {
  const PassArguments& p = b.p;
  Rows rows = p.rows;
  rows.position = const_cast<int*>(b.position), rows.loop = const_cast<int*>(b.loop);
  const HeadArguments heads{layer.cache, layer.qkv_bias, layer.q_gain, layer.k_gain, rows, p.shape, p.eps};
  const int width = (p.shape.heads + 2 * p.shape.kv_heads) * D;
  if (p.count > 1) {
    // Rows may be of one session: all keys and values are written before any are read.
#pragma unroll 1
    for (int i = b.member * kPassWarps + b.warp; i < p.count * 2 * p.shape.kv_heads; i += p.members * kPassWarps) {
      const int row = i / (2 * p.shape.kv_heads);
      const int head = p.shape.heads + i - row * 2 * p.shape.kv_heads;
      if (b.loop[row] != 0) finish_head(heads, row, head, b.lane, p.qkv + static_cast<std::size_t>(row) * width + head * D, b.turns + row * (D / 2), nullptr);
    }
    asm volatile("fence.proxy.async;" ::: "memory");
    b.meet();
    if (has_unit) pages.ask_first(b, layer.cache, unit);
  }
  b.lap(16);
#pragma unroll 1
  for (int number = b.member; has_unit; ) {
    attend<D, Element>(b, pages, layer, heads, unit);
    number += p.members;
    has_unit = find_unit(b, number, unit);
    __syncthreads();  // before the scratch is used again
    if (has_unit) pages.ask_first(b, layer.cache, unit);
  }
  b.lap(17);
  b.meet();
  b.lap(18);
  if (p.merge_late) {
    merge_factors(b);
    b.lap(19);
    return;
  }
  merge<D>(b);
  b.lap(19);
  b.meet();
  b.lap(20);
}

#endif

// What one of the four products of a layer works on.
struct Step {
  const float* x;
  Gain gain;
  float* out;
  bool add;
};

template <int D>
__device__ __forceinline__ Step step_of(const PassArguments& p, const PassLayer& layer, int matrix, int member) {
  if (matrix == 0) return {p.hidden, layer.input_gain, p.qkv, false};
  if (matrix == 1) return {p.merge_late ? nullptr : p.mixed, {}, p.hidden, true};
  if (matrix == 2) return {p.hidden, layer.attention_gain, p.inner, false};
  const int splits = p.matrix[3].splits;
  if (splits == 1) return {p.inner, {}, p.hidden, true};
  return {p.inner, {}, p.partial + static_cast<std::size_t>(member % splits) * static_cast<std::size_t>(p.count) * static_cast<std::size_t>(p.width), false};
}

template <int N, int D, typename Element>
__global__ __launch_bounds__(kPassThreads, 1) void pass_kernel(const __grid_constant__ PassArguments p) {
#if __CUDA_ARCH__ >= 900
  extern __shared__ __align__(128) unsigned char shared[];
  __shared__ __align__(8) unsigned long long barriers[kPassWarps * kPassStages];
  __shared__ const unsigned char* weights[kPassLayers * kPassMatrices];
  __shared__ Parts parts;
  __shared__ __align__(16) unsigned char layer_memory[2][sizeof(PassLayer)];  // of this layer and the next
  __shared__ float squares[kMaxPassRows * kPassWarps], row_scale[kMaxPassRows];
  __shared__ int loop[kMaxPassRows], position[kMaxPassRows], first[kMaxPassRows];
  __shared__ Cut cut[kMaxPassRows];
  __shared__ float2 turns[kMaxPassRows * D / 2];
  __shared__ __align__(8) unsigned long long page_barriers[2];
  __shared__ long long clocks[kPassLaps + 1];
  const int tid = static_cast<int>(threadIdx.x);
  const Block b{p, static_cast<int>(blockIdx.x), tid, tid / 32, tid % 32, shared + p.columns_at, reinterpret_cast<float*>(shared + p.bias_at),
                reinterpret_cast<float*>(shared + p.sums_at), parts, squares, row_scale, loop, position, first, cut, turns, clocks};
  const auto fetch_layer = [&](int i) {
    for (int word = b.lane; word < static_cast<int>(sizeof(PassLayer) / 4); word += 32) {
      reinterpret_cast<uint32_t*>(layer_memory[i % 2])[word] = reinterpret_cast<const uint32_t*>(p.layers + i)[word];
    }
  };
  for (int i = tid; i < p.layer_count * kPassMatrices; i += kPassThreads) {
    const PassLayer& layer = p.layers[i / kPassMatrices];
    const int m = i % kPassMatrices;
    weights[i] = static_cast<const unsigned char*>(m == 0 ? layer.qkv.data : m == 1 ? layer.o.data : m == 2 ? layer.gate_up.data : layer.down.data);
  }
  if (tid < kPassLaps) clocks[tid] = 0;
  fill_parts(parts, p, b.member, tid);
  if (b.warp == 0) fetch_layer(0);
  if (tid < kPassWarps * kPassStages) barrier_init(shared_address(barriers + tid));
  if (tid < 2) barrier_init(shared_address(page_barriers + tid));
  asm volatile("fence.mbarrier_init.release.cluster;\n\tfence.proxy.async.shared::cta;" ::: "memory");
  __syncthreads();
  Ring ring{p, parts, weights, shared + b.warp * p.stages * p.chunk * 544, shared_address(barriers + b.warp * kPassStages), b.warp, b.lane};
  ring.start();
  let_next_start();
  wait_for_previous();
  if (tid < p.count) {
    loop[tid] = p.rows.loop[tid];
    position[tid] = p.rows.position[tid];
    first[tid] = p.rows.first ? p.rows.first[tid] : 0;
    cut[tid] = cut_of(p, position[tid], loop[tid]);
  }
  for (int i = tid; i < p.count * (D / 2); i += kPassThreads) turns[i] = p.rope[static_cast<std::size_t>(p.rows.position[i / (D / 2)]) * (D / 2) + i % (D / 2)];
  __syncthreads();
  Pages<D, Element> pages{shared + p.pages_at, shared_address(page_barriers)};
  Unit unit;
  const bool has_unit = find_unit(b, b.member, unit);
  if (tid == 0) clocks[kPassLaps] = clock64();

  // The steps share their code: what is used once a layer must be fetched again and again if all of it does not fit the
  // cache of instructions.
  constexpr int kGateUp = 2, kDown = 3;
#pragma unroll 1
  for (int i = 0; i < p.layer_count; ++i) {
    const PassLayer& layer = *reinterpret_cast<const PassLayer*>(layer_memory[i % 2]);
#pragma unroll 1
    for (int matrix = 0; matrix < kPassMatrices; ++matrix) {
      const Step step = step_of<D>(p, layer, matrix, b.member);
      const Share share = parts.share[matrix];
      if (matrix == 0) {
        // One row: its context but for the new key is there already.
        if (p.count == 1 && has_unit) pages.ask_first(b, layer.cache, unit);
        prefetch_gain(b, layer.attention_gain, p.width);
        prefetch_gain(b, layer.gate_weight, p.shape.heads * D);
        prefetch_gain(b, layer.gate_bias, p.shape.heads);
        prefetch_gain(b, layer.q_gain, D);
        prefetch_gain(b, layer.k_gain, D);
      } else if (matrix == kGateUp && i + 1 < p.layer_count) {
        prefetch_gain(b, reinterpret_cast<const PassLayer*>(layer_memory[(i + 1) % 2])->input_gain, p.width);
      }
      stage<N, D>(b, step.x, p.matrix[matrix].cols, share.first_k * kTileCols, share.ks * kTileCols, step.gain);
      b.lap(matrix * 4);
      product<N>(b, ring, matrix);
      b.lap(matrix * 4 + 1);
      if (matrix == kGateUp) {
        emit_swiglu(b, matrix, step.out);
      } else {
        emit(b, matrix, step.out, step.add);
      }
      // The layer before this one is done with its memory.
      if (matrix == 0 && b.warp == kPassWarps - 1 && i + 1 < p.layer_count) fetch_layer(i + 1);
      b.lap(matrix * 4 + 2);
      b.meet();
      b.lap(matrix * 4 + 3);
      if (matrix == 0) attention_step<D, Element>(b, pages, layer, unit, has_unit);
      if (matrix == kDown && p.matrix[kDown].splits > 1) {
        add_partial(b, p.matrix[kDown].splits);
        b.lap(21);
        b.meet();
        b.lap(22);
      }
    }
  }
  if (p.clocks && b.member == 0 && tid < kPassLaps) p.clocks[tid] += clocks[tid];
#endif
}

}  // namespace cuda
