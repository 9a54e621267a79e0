// One loop of all layers as one kernel, whose blocks stay.
//
// Floor: every weight is read once, and keys and values of the context. Between two operations a block waits for the
// slowest and fetches what the others wrote, some 1 to 2 us; the weights of the operations that follow stream in meanwhile
// (stream.cuh). A layer has five such changes: behind its four products and behind attention. With several rows blocks meet
// at a barrier there; a single row's values say for themselves that they are there (pass_marks.cuh). What several blocks made
// parts of is added up by one of them (pass_merge.cuh). Rows of one session do not wait for each other's keys: a block that
// needs a key of this step makes it itself; and they share their visits to the context, so its pages are fetched once for
// several of them (pass_attention.cuh, pass_units.cuh).
//
// Sums run in an order that depends on the model and the device only, never on the rows beside.
#pragma once

#include "cuda/pass_merge.cuh"
#include "cuda/pass_product.cuh"
#include "cuda/pass_units.cuh"

namespace cuda {

#if __CUDA_ARCH__ >= 900

// Cycles that block 0 spends on each step of a layer (kPassLaps), in kernels that are made to say so.
template <bool kClocks>
struct Laps {
  long long* cycles;  // in shared memory, the last when a lap began
  bool counts;

  __device__ __forceinline__ void start() const {
    if (kClocks && counts) cycles[kPassLaps] = clock64();
  }
  __device__ __forceinline__ void end(int step) const {
    if (!kClocks || !counts) return;
    const long long now = clock64();
    cycles[step] += now - cycles[kPassLaps];
    cycles[kPassLaps] = now;
  }
};

// Asks for the small vectors of a layer, of the rows' loops, to be in L2 before the step that needs them: they come from
// memory once a layer. A warp a vector, each block some lines.
__device__ __forceinline__ void prefetch_vectors(const Block& b, const PassLayer& layer, const PassLayer* next, int matrix) {
  Gain gain;
  int width = 0;
  const HeadShape& shape = b.p.shape;
  if (matrix == 3) {
    if (b.warp == 0 && next) gain = next->input_gain, width = b.p.width;
  } else if (b.warp == 0) {
    gain = layer.attention_gain, width = b.p.width;
  } else if (b.warp == 1) {
    gain = layer.gate_weight, width = shape.heads * shape.head_dim;
  } else if (b.warp == 2) {
    gain = layer.gate_bias, width = shape.heads;
  } else if (b.warp == 3) {
    gain = layer.q_gain, width = shape.head_dim;
  } else if (b.warp == 4) {
    gain = layer.k_gain, width = shape.head_dim;
  } else if (b.warp == 5) {
    gain.data = layer.qkv_bias, width = (shape.heads + 2 * shape.kv_heads) * shape.head_dim;
  }
  const int at = (b.member * 32 + b.lane) * 32;  // a line each
  if (!gain.data || at >= width) return;
#pragma unroll 1
  for (int row = 0; row < (gain.stride > 0 ? b.p.count : 1); ++row) asm volatile("prefetch.global.L2 [%0];" ::"l"(gain_of(gain, b.loop[row]) + at) : "memory");
}

#endif

__device__ __forceinline__ Step step_of(const PassArguments& p, int matrix, int member) {
  const PassMatrix& m = p.matrix[matrix];
  const int split = split_of(m, member);
  const Share share = share_of(m, member);
  const float* x = matrix == 1 ? p.mixed : matrix == 3 ? p.inner : !p.marked ? p.hidden : matrix == 0 ? p.after_down : p.after_o;
  float* out = matrix == 0 ? p.qkv : matrix == 2 ? p.inner : !p.marked ? p.hidden : matrix == 1 ? p.after_o : p.after_down;
  if (m.splits > 1) out = p.partial + static_cast<std::size_t>(split) * static_cast<std::size_t>(p.count) * static_cast<std::size_t>(p.width);
  return {x, out, m.cols, share.first_k * kTileCols, share.ks * kTileCols, matrix % 2 == 1 && m.splits == 1};
}

template <int N, int D, typename Element, bool kClocks, bool kMarked>
__global__ __launch_bounds__(kPassThreads, 1) void pass_kernel(const __grid_constant__ PassArguments p) {
#if __CUDA_ARCH__ >= 900
  extern __shared__ __align__(128) unsigned char shared[];
  __shared__ __align__(8) unsigned long long barriers[kPassWarps * kPassStages];
  __shared__ const unsigned char* weights[kPassLayers * kPassMatrices];
  __shared__ Parts parts;
  __shared__ Step steps[kPassMatrices];
  __shared__ __align__(16) unsigned char layer_memory[2][sizeof(PassLayer)];  // of this layer and the next
  __shared__ float row_scale[kMaxPassRows];
  __shared__ RowState rows;
  __shared__ unsigned epoch;  // layers run with marks before
  __shared__ unsigned phase;  // of the barrier, for the thread that waits there
  __shared__ Unit units[kMaxUnits];
  __shared__ float2 turns[kMaxPassRows * D / 2];
  __shared__ __align__(8) unsigned long long page_barriers[2];
  __shared__ long long cycles[kClocks ? kPassLaps + 1 : 1];
  static_assert(sizeof(AttentionScratch<D>) == pass_scratch(D, 1) && sizeof(Columns<D>) == column_scratch(D) && sizeof(PassLayer) % 16 == 0 && sizeof(PassLayer) <= 512);
  constexpr int kGateUp = 2, kDown = 3;
  const int tid = static_cast<int>(threadIdx.x);
  const int warp = __shfl_sync(0xffffffffu, tid / 32, 0);  // the same in all lanes, which the compiler now knows
  const int lane = tid % 32;
  const int member = static_cast<int>(blockIdx.x);
  const Laps<kClocks> laps{cycles, member == 0 && tid == 0};
  const auto fetch_layer = [&](int i) {
    unsigned at;
    asm volatile("mov.u32 %0, %%tid.x;" : "=r"(at));  // afresh, instead of a register through all layers
    at *= 16;
    if (at >= sizeof(PassLayer) || i >= p.layer_count) return;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared_address(layer_memory[i % 2]) + at), "l"(reinterpret_cast<const unsigned char*>(p.layers + i) + at) : "memory");
  };
#pragma unroll 1
  for (int i = tid; i < p.layer_count * kPassMatrices; i += kPassThreads) {
    const PassLayer& layer = p.layers[i / kPassMatrices];
    const int m = i % kPassMatrices;
    weights[i] = static_cast<const unsigned char*>(m == 0 ? layer.qkv.data : m == 1 ? layer.o.data : m == 2 ? layer.gate_up.data : layer.down.data);
  }
  if (kClocks && tid < kPassLaps) cycles[tid] = 0;
  fill_parts(parts, p, member, tid);
  if (tid < kPassMatrices) steps[tid] = step_of(p, tid, member);
  fetch_layer(0);
  if (tid < kPassWarps * kPassStages) barrier_init(shared_address(barriers + tid));
  if (tid < 2) barrier_init(shared_address(page_barriers + tid));
  asm volatile("fence.mbarrier_init.release.cluster;\n\tfence.proxy.async.shared::cta;" ::: "memory");
  asm volatile("cp.async.wait_all;" ::: "memory");
  __syncthreads();
  Ring ring{p, parts, weights, shared + warp * p.stages * p.chunk * 544, shared_address(barriers + warp * kPassStages), warp, lane};
  ring.start();
  let_next_start();
  wait_for_previous();
  if (tid == 0) asm volatile("ld.relaxed.gpu.global.u32 %0, [%1];" : "=r"(phase) : "l"(p.barrier) : "memory");
  if (kMarked && tid == 0) epoch = p.barrier[kPassEpochAt / 4];
  const int unit_count = fill_units<D>(units, rows, turns, p, member, tid);
  const Block b{p, member, tid, warp, lane, shared + p.columns_at, shared + p.scratch_at, reinterpret_cast<float*>(shared + p.bias_at), reinterpret_cast<float*>(shared + p.sums_at),
                parts, row_scale, rows.loop, rows.position, rows.page, turns, units, unit_count, rows.idle_part, phase};
  Pages<D, Element> pages{b.columns, shared_address(page_barriers)};
  b.meet_neighbour<N>();  // nobody writes to a neighbour that has not begun
  laps.start();

  // The steps share their code: what is used once a layer must be fetched again and again if all of it does not fit the
  // cache of instructions.
#pragma unroll 1
  for (int i = 0; i < p.layer_count; ++i) {
    const PassLayer& layer = *reinterpret_cast<const PassLayer*>(layer_memory[i % 2]);
    const bool last = i + 1 == p.layer_count;
#pragma unroll 1
    for (int matrix = 0; matrix < kPassMatrices; ++matrix) {
      const Step& step = steps[matrix];
      Gain gain;
      if (matrix % 2 == 0) gain = *(matrix == 0 ? &layer.input_gain : &layer.attention_gain);
      const Marks<kMarked> marks = marks_of<kMarked>(epoch + static_cast<unsigned>(i), i, matrix, rows.loop[0] != 0);
      const float* before = !kMarked || (matrix == 1 && i == 0) ? p.hidden : matrix == 1 ? p.after_down : p.after_o;
      float* last_out = kMarked && last && matrix == kDown ? p.hidden : nullptr;
      // With marks a block that has no part in a product must not look at its x, which others may be at already again.
      if (!kMarked || parts.share[matrix].rows > 0) {
        stage<N>(b, step, kMarked && matrix == 0 && i == 0 ? p.hidden : step.x, gain, marks, [&] {
          if (kMarked) ring.settle();
        });
      } else {
        ring.settle();
      }
      laps.end(matrix * 4);
      if (p.streams && (matrix == 0 || matrix == kDown)) prefetch_vectors(b, layer, last ? nullptr : reinterpret_cast<const PassLayer*>(layer_memory[(i + 1) % 2]), matrix);
      if (matrix == 0) fetch_layer(i + 1);  // the layer before this one is done with its memory; product() waits for it
      product<N>(b, ring, matrix, before);
      laps.end(matrix * 4 + 1);
      // The context is there already but for the new keys; x is done with the memory that the pages may share with it.
      if (matrix == 0) pages.start(b, layer.cache);
      if (matrix == kGateUp) {
        emit_swiglu(b, matrix, step.out, marks);
      } else {
        emit(b, matrix, step.out, step.add, last_out, marks);
      }
      laps.end(matrix * 4 + 2);
      if (matrix == kDown) {
        add_splits(b, matrix, before, kMarked ? p.after_down : p.hidden, last_out, whole_marks<kMarked>(epoch + static_cast<unsigned>(i)));
        laps.end(18);
        if (last) break;  // the kernel's end is the last meeting
      }
      if (!kMarked) b.meet([&] { ring.settle(); });
      laps.end(matrix * 4 + 3);
      if (matrix != 0) continue;
      if (kMarked) {
        if (p.streams) ring.settle();  // attention may take as long as memory has work for
        __syncthreads();               // its scratch lies where the product had its sums
      }
      attend_all<D, kMarked ? 1 : column_rounds(D, N), Element>(b, pages, layer, whole_marks<kMarked>(epoch + static_cast<unsigned>(i)));
      laps.end(16);
      if (kMarked) {
        __syncthreads();  // x comes where attention had its scratch
      } else {
        b.meet([] {});
      }
      laps.end(17);
    }
  }
  if (kMarked && rows.loop[0] != 0 && member == 0 && tid == 0) p.barrier[kPassEpochAt / 4] = epoch + static_cast<unsigned>(p.layer_count);
  if (kClocks && p.clocks && member == 0 && tid < kPassLaps) {
    __syncwarp();
    p.clocks[tid] += cycles[tid];
  }
#endif
}

}  // namespace cuda
