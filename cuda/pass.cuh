// One loop of all layers as one kernel: its blocks stay, and meet at a barrier after every operation.
//
// Floor: every weight is read once, and keys and values of the context. Between two operations a block waits for the
// slowest and fetches what the others wrote, some 2 us; the weights of the operations that follow stream in meanwhile
// (stream.cuh). A layer has five meetings: behind its four products and behind attention. What several blocks made parts of
// is added up by the last of them (pass_merge.cuh), which takes no meeting. Rows of one session do not wait for each other's
// keys: a block that needs a key of this step makes it itself; and they share their visits to the context, so its pages are
// fetched once for several of them (pass_attention.cuh).
//
// Sums run in an order that depends on the model and the device only, never on the rows beside.
#pragma once

#include "cuda/pass_merge.cuh"
#include "cuda/pass_product.cuh"

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

// What the kernel knows of its rows before the first layer.
struct RowState {
  int loop[kMaxPassRows], position[kMaxPassRows], table[kMaxPassRows], first[kMaxPassRows];
  int page[kMaxPassRows];    // where the row's new keys go
  bool leads[kMaxPassRows];  // whether it is the first of those that share its visits
};

// Rows of one session and loop may share their visits to the context while they stand in the same page: it is cut in the same
// way for all of them. Their windows must overlap, or there are keys between them that nobody may have written.
__device__ __forceinline__ bool share_visits(const PassArguments& p, const RowState& rows, int a, int b) {
  const int loop = rows.loop[a];
  return loop > 0 && loop == rows.loop[b] && rows.table[a] == rows.table[b] && rows.first[a] == rows.first[b] && rows.position[a] / kPage == rows.position[b] / kPage &&
         (loop == 1 || p.window >= kPage);
}

// Of rows that may share their visits every p.visit_rows do, in their order.
__device__ __forceinline__ bool leads_visit(const PassArguments& p, const RowState& rows, int row) {
  int before = 0;
#pragma unroll 1
  for (int i = 0; i < row; ++i) before += share_visits(p, rows, i, row);
  return rows.loop[row] > 0 && before % p.visit_rows == 0;
}

// The unit of that number over all rows. False: there are fewer.
__device__ __forceinline__ bool find_unit(Unit& unit, const PassArguments& p, const RowState& rows, int number) {
#pragma unroll 1
  for (int row = 0; row < p.count; ++row) {
    if (!rows.leads[row]) continue;
    const int loop = rows.loop[row];
    // How the context of a row is cut: `busy` parts of KV1, and one more of the window for loops >= 2.
    const int pages = rows.position[row] / kPage + 1;
    const int each = (pages + p.splits - 1) / p.splits;
    const int busy = (pages + each - 1) / each;
    const int parts = busy + (loop >= 2 ? 1 : 0);
    if (number >= parts * p.shape.kv_heads) {
      number -= parts * p.shape.kv_heads;
      continue;
    }
    const int part = number / p.shape.kv_heads;
    const bool local = part == busy;
    unit.kv_head = number - part * p.shape.kv_heads;
    unit.part = local ? p.splits : part;
    unit.all_parts = parts;
    int count = 0;
    unsigned bits = 0;
    Span all{0, 0};
#pragma unroll 1
    for (int other = row; other < p.count && count < p.visit_rows; ++other) {
      if (other != row && !share_visits(p, rows, row, other)) continue;
      const int end = rows.position[other] + 1;
      const Span span = local ? Span{max(max(0, end - p.window), rows.first[other]), end} : Span{part * each * kPage, min(end, (part + 1) * each * kPage)};
      all = count == 0 ? span : Span{min(all.begin, span.begin), max(all.end, span.end)};
      unit.row[count] = static_cast<unsigned char>(other);
      unit.span[count++] = span;
      bits |= 1u << other;
    }
    unit.row_bits = bits, unit.all = all;
    unit.first_page = all.begin / kPage;
    unit.pages = (all.end - 1) / kPage + 1 - unit.first_page;
    unit.group = p.shape.heads / p.shape.kv_heads;
    unit.inverse = (65535u + static_cast<unsigned>(unit.group)) / static_cast<unsigned>(unit.group);
    unit.columns = count * unit.group;
    unit.table = p.rows.pages + static_cast<std::size_t>(rows.table[row] + (local ? loop : 1) - 1) * static_cast<std::size_t>(p.rows.table_stride);
    return true;
  }
  return false;
}

// Two trips to memory: the rows' numbers, then what these point to.
template <int D>
__device__ __forceinline__ int fill_units(Unit* units, RowState& rows, float2* turns, const PassArguments& p, int member, int tid) {
  const Rows& from = p.rows;
  if (tid < p.count) {
    rows.loop[tid] = from.loop[tid];
    rows.position[tid] = from.position[tid];
    rows.table[tid] = from.table[tid];
    rows.first[tid] = from.first ? from.first[tid] : 0;
  }
  __syncthreads();
  if (tid < p.count) rows.leads[tid] = leads_visit(p, rows, tid);
  __syncthreads();
  const bool there = tid < kMaxUnits && find_unit(units[tid], p, rows, member + tid * p.members);
  const int count = __syncthreads_count(there);
  static_assert(kMaxUnits * kUnitPages + 32 <= kPassThreads);
  const int i = tid % kUnitPages;
  if (tid < count * kUnitPages) {
    Unit& unit = units[tid / kUnitPages];
    if (i < unit.pages) unit.page[i] = unit.table[unit.first_page + i];
  } else if (tid >= kMaxUnits * kUnitPages && tid - kMaxUnits * kUnitPages < p.count) {
    const int row = tid - kMaxUnits * kUnitPages;
    const int table = rows.table[row] + rows.loop[row] - 1;
    rows.page[row] = rows.loop[row] > 0 ? from.pages[static_cast<std::size_t>(table) * static_cast<std::size_t>(from.table_stride) + static_cast<std::size_t>(rows.position[row] / kPage)] : -1;
  }
#pragma unroll 1
  for (int at = tid; at < p.count * (D / 2); at += kPassThreads) turns[at] = p.rope[static_cast<std::size_t>(rows.position[at / (D / 2)]) * (D / 2) + at % (D / 2)];
  __syncthreads();
  if (tid < count) {
    Unit& unit = units[tid];
    unit.fresh_count = 0;
#pragma unroll 1
    for (int row = 0; row < p.count; ++row) {
      const int position = rows.position[row];
      if (rows.loop[row] == 0 || position < unit.all.begin || position >= unit.all.end) continue;
      if (unit.page_at(position / kPage - unit.first_page) == rows.page[row]) unit.fresh[unit.fresh_count++] = static_cast<unsigned char>(row);
    }
  }
  __syncthreads();
  return count;
}

#endif

// What one of the four products of a layer works on; the same in all layers.
struct Step {
  const float* x;
  float* out;
  int cols, first_k, k_count;  // of x
  bool add;
  bool asks;  // for vectors that are needed behind it; a model that stays in L2 needs nothing asked into it
};

__device__ __forceinline__ Step step_of(const PassArguments& p, int matrix, int member) {
  const PassMatrix& m = p.matrix[matrix];
  const int split = split_of(m, member);
  const Share share = share_of(m, member);
  const float* x = matrix == 1 ? p.mixed : matrix == 3 ? p.inner : p.hidden;
  float* out = matrix == 0 ? p.qkv : matrix == 2 ? p.inner : p.hidden;
  if (m.splits > 1) out = p.partial + static_cast<std::size_t>(split) * static_cast<std::size_t>(p.count) * static_cast<std::size_t>(p.width);
  const bool streams = static_cast<long long>(p.matrix[2].row_tiles) * p.matrix[2].k_tiles * p.layer_count > 65536;
  return {x, out, m.cols, share.first_k * kTileCols, share.ks * kTileCols, matrix % 2 == 1 && m.splits == 1, streams && (matrix == 0 || matrix == 3)};
}

template <int N, int D, typename Element, bool kClocks>
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
  const auto layer_there = [] { asm volatile("cp.async.wait_all;" ::: "memory"); };  // for all behind the next barrier
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
  layer_there();
  __syncthreads();
  Ring ring{p, parts, weights, shared + warp * p.stages * p.chunk * 544, shared_address(barriers + warp * kPassStages), warp, lane};
  ring.start();
  let_next_start();
  wait_for_previous();
  if (tid == 0) asm volatile("ld.relaxed.gpu.global.u32 %0, [%1];" : "=r"(phase) : "l"(p.barrier) : "memory");
  const int unit_count = fill_units<D>(units, rows, turns, p, member, tid);
  const Block b{p, member, tid, warp, lane, shared + p.columns_at, shared + p.scratch_at, reinterpret_cast<float*>(shared + p.bias_at), reinterpret_cast<float*>(shared + p.sums_at),
                parts, row_scale, rows.loop, rows.position, rows.page, turns, units, unit_count, phase};
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
      stage<N>(b, step.x, step.cols, step.first_k, step.k_count, gain);
      laps.end(matrix * 4);
      if (step.asks) prefetch_vectors(b, layer, last ? nullptr : reinterpret_cast<const PassLayer*>(layer_memory[(i + 1) % 2]), matrix);
      if (matrix == 0) fetch_layer(i + 1);  // the layer before this one is done with its memory
      product<N>(b, ring, matrix);
      laps.end(matrix * 4 + 1);
      // The context is there already but for the new keys; x is done with the memory that the pages may share with it.
      if (matrix == 0) pages.start(b, layer.cache);
      if (matrix == kGateUp) {
        emit_swiglu(b, matrix, step.out);
      } else {
        emit(b, matrix, step.out, step.add);
      }
      laps.end(matrix * 4 + 2);
      if (matrix == kDown) {
        add_splits(b, matrix);
        laps.end(18);
        if (last) break;  // the kernel's end is the last meeting
      }
      layer_there();
      b.meet([&] { ring.settle(); });
      laps.end(matrix * 4 + 3);
      if (matrix != 0) continue;
      attend_all<D, column_rounds(D, N), Element>(b, pages, layer);
      laps.end(16);
      b.meet([] {});
      laps.end(17);
    }
  }
  if (kClocks && p.clocks && member == 0 && tid < kPassLaps) {
    __syncwarp();
    p.clocks[tid] += cycles[tid];
  }
#endif
}

}  // namespace cuda
