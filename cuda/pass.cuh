// One loop of all layers as one kernel: its blocks stay, and meet at a barrier after every operation.
//
// Floor: every weight is read once, and keys and values of the context. Between two operations a block waits for the
// slowest and fetches what the others wrote, some 2 to 4 us; the weights of the operations that follow stream in meanwhile
// (stream.cuh). A small model runs in one cluster of 16 blocks, whose barrier costs a third of one through memory.
//
// Sums run in an order that depends on the model and the device only, never on the rows beside.
#pragma once

#include "cuda/heads.cuh"
#include "cuda/stream.cuh"

namespace cuda {

#if __CUDA_ARCH__ >= 900

// How the context of a row is cut: `busy` parts of KV1, and one more of the window for loops >= 2.
struct Cut {
  int busy, pages_each;
  bool dual;
};

__device__ __forceinline__ Cut cut_of(const PassArguments& p, int position, int loop) {
  const int pages = position / kPage + 1;
  const int each = (pages + p.splits - 1) / p.splits;
  return {(pages + each - 1) / each, each, loop >= 2};
}

// What the parts of the kernel share: where things are, who the thread is.
struct Block {
  const PassArguments& p;
  int member, tid, warp, lane;
  unsigned char* columns;  // x as bf16 columns; attention's scratch
  float* bias;             // [tile of K][8 N]
  float* sums;             // [slot][count][16]
  const Parts& parts;
  float* squares;    // [kMaxPassRows][kPassWarps]
  float* row_scale;  // [kMaxPassRows]
  const int* loop;   // [count], and so on: rows.loop, rows.position, rows.first in shared memory
  const int* position;
  const int* first;
  const Cut* cut;       // [count]
  const float2* turns;  // [count][head_dim / 2]
  long long* clocks;  // [kPassLaps + 1], the last when a lap began

  __device__ __forceinline__ void lap(int step) const {
    if (!p.clocks || member != 0 || tid != 0) return;
    const long long now = clock64();
    clocks[step] += now - clocks[kPassLaps];
    clocks[kPassLaps] = now;
  }

  // Everything that any block wrote before is there for all after.
  __device__ __forceinline__ void meet() const {
    if (p.clustered) {
      asm volatile("barrier.cluster.arrive.release.aligned;\n\tbarrier.cluster.wait.acquire.aligned;" ::: "memory");
      return;
    }
    __syncthreads();
    if (tid == 0) {
      // All additions of one meeting sum up to the top bit, which flips when the last has come.
      const unsigned add = member == 0 ? 0x80000000u - static_cast<unsigned>(p.members - 1) : 1u;
      __threadfence();
      const unsigned before = atomicAdd(p.barrier, add);
      unsigned now;
      do {
        asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(now) : "l"(p.barrier) : "memory");
      } while (((before ^ now) & 0x80000000u) == 0);
    }
    __syncthreads();
  }
};

// One part of a (row, kv head): sums [G][D], totals [G], largest scores [G], gates [G]; padded to whole vectors.
__device__ __forceinline__ int part_size(const PassArguments& p) { return (p.shape.heads / p.shape.kv_heads * (p.shape.head_dim + 3) + 3) / 4 * 4; }
__device__ __forceinline__ float* part_of(const PassArguments& p, int row, int kv_head, int part) {
  return p.parts + static_cast<std::size_t>((row * p.shape.kv_heads + kv_head) * (p.splits + 1) + part) * static_cast<std::size_t>(part_size(p));
}

// Four of what attention leaves for a row, from the parts of its head and their factors (see merge_factors()).
template <int D>
__device__ __forceinline__ float4 merged(const Block& b, int row, int at) {
  const PassArguments& p = b.p;
  const int group = p.shape.heads / p.shape.kv_heads;
  const int head = at / D;
  const int kv_head = head / group;
  const float* part = part_of(p, row, kv_head, 0) + (head - kv_head * group) * D + at % D;
  const float* factor = b.sums + (row * p.shape.heads + head) * (p.splits + 1);
  const int size = part_size(p);
  float4 sum = {0, 0, 0, 0};
#pragma unroll 4
  for (int s = 0; s <= p.splits; ++s) {
    const float4 v = __ldcg(reinterpret_cast<const float4*>(part + s * size));
    const float f = factor[s];
    sum.x += f * v.x, sum.y += f * v.y, sum.z += f * v.z, sum.w += f * v.w;
  }
  return sum;
}

// Copies columns [k_begin, k_begin + k_count) of x into shared memory as bf16, hi and lo of each row side by side as two
// columns, times the gain of the row's loop. `bias` gets -24 times the sum of every 64 of a column (see product()). The
// norm's factor is the same for a whole row, so it comes last: from the sums of squares, over a whole row then. Without x
// the rows are what attention leaves.
template <int N, int D>
__device__ __forceinline__ void stage(const Block& b, const float* x, int cols, int k_begin, int k_count, const Gain& gain) {
  constexpr int kTogether = 4;  // in flight at once: that many rows, or pieces of one
  const int count = b.p.count;
  const bool single = count == 1;
  const int step = single ? kPassThreads * 4 : 0;
  const int stride = k_count + 32;
  __nv_bfloat16* columns = reinterpret_cast<__nv_bfloat16*>(b.columns);
#pragma unroll 1
  for (int first = 0; first < count; first += kTogether) {
    float squares[kTogether] = {};
#pragma unroll 1
    for (int base = b.warp * 128; base < k_count; base += single ? kTogether * step : kPassThreads * 4) {
      float4 v[kTogether];
#pragma unroll
      for (int j = 0; j < kTogether; ++j) {
        const int row = single ? 0 : first + j;
        const int at = base + j * step + b.lane * 4;
        v[j] = make_float4(0, 0, 0, 0);
        if (row < count && at < k_count) v[j] = x ? __ldcg(reinterpret_cast<const float4*>(x + static_cast<std::size_t>(row) * cols + k_begin + at)) : merged<D>(b, row, at);
      }
#pragma unroll
      for (int j = 0; j < kTogether; ++j) {
        const int row = single ? 0 : first + j;
        if (row >= count || base + j * step >= k_count) break;
        const int at = base + j * step + b.lane * 4;
        const bool inside = at < k_count;
        float4 scale = {1, 1, 1, 1};
        if (gain.data && inside) scale = *reinterpret_cast<const float4*>(gain_of(gain, b.loop[row]) + k_begin + at);
        const float square = v[j].x * v[j].x + v[j].y * v[j].y + v[j].z * v[j].z + v[j].w * v[j].w;
        if (single) {
          squares[0] += square;
        } else {
          squares[j] += square;
        }
        const float x0 = v[j].x * scale.x, x1 = v[j].y * scale.y, x2 = v[j].z * scale.z, x3 = v[j].w * scale.w;
        const uint2 hi = {pack_bf16(x0, x1), pack_bf16(x2, x3)};
        const uint2 lo = {pack_bf16(x0 - bf16_low(hi.x), x1 - bf16_high(hi.x)), pack_bf16(x2 - bf16_low(hi.y), x3 - bf16_high(hi.y))};
        float hi_sum = bf16_low(hi.x) + bf16_high(hi.x) + (bf16_low(hi.y) + bf16_high(hi.y));
        float lo_sum = bf16_low(lo.x) + bf16_high(lo.x) + (bf16_low(lo.y) + bf16_high(lo.y));
#pragma unroll
        for (int offset = 8; offset > 0; offset /= 2) {
          hi_sum += __shfl_xor_sync(0xffffffffu, hi_sum, offset);
          lo_sum += __shfl_xor_sync(0xffffffffu, lo_sum, offset);
        }
        if (!inside) continue;
        *reinterpret_cast<uint2*>(columns + (2 * row) * stride + at) = hi;
        *reinterpret_cast<uint2*>(columns + (2 * row + 1) * stride + at) = lo;
        if (b.lane % 16 == 0) *reinterpret_cast<float2*>(b.bias + at / kTileCols * (8 * N) + 2 * row) = make_float2(-24 * hi_sum, -24 * lo_sum);
      }
    }
    if (!gain.data) continue;
#pragma unroll
    for (int j = 0; j < kTogether; ++j) {
      if (first + j >= count) break;
      const float whole = warp_sum(squares[j]);
      if (b.lane == 0) b.squares[(first + j) * kPassWarps + b.warp] = whole;
    }
  }
  __syncthreads();
  // Read behind the barrier that precedes the first sums.
  if (b.tid < count) {
    float sum = 0;
    for (int w = 0; w < kPassWarps && gain.data; ++w) sum += b.squares[b.tid * kPassWarps + w];
    b.row_scale[b.tid] = gain.data ? rsqrtf(sum / static_cast<float>(cols) + b.p.eps) : 1.0f;
  }
}

// The block's share of one matrix times the staged columns, as sums of every warp's pieces of row tiles. A piece of (warp,
// row tile) has the slot warp + row tile, which no other has.
//
// A nibble or-ed into the mantissa of bf16 16 gives 16 + q; the sums start from -24 times the sum of x instead of
// subtracting 24 from every weight. Sums of a group are of whole numbers times x; its scale enters behind them.
template <int N>
__device__ __forceinline__ void product(const Block& b, Ring& ring, int matrix) {
  constexpr int kUnroll = N == 1 ? 4 : 2;
  const Share s = b.parts.share[matrix];
  const int shift = b.p.matrix[matrix].group_shift;
  Run run = b.parts.run[matrix][b.warp];
  const int g = b.lane / 4;
  const int t = b.lane % 4;
  const int count = b.p.count;
  // Columns without a row are whatever the registers hold: nobody looks at their sums.
  const unsigned char* column[N];
  bool used[N];
#pragma unroll
  for (int n = 0; n < N; ++n) {
    used[n] = n * 8 + g < 2 * count;
    column[n] = b.columns + ((n * 8 + g) * (s.ks * kTileCols + 32) + t * 8) * 2;
  }
  uint4 x[N][2] = {};
  const float* bias = b.bias + 2 * t;
  float total[N][4] = {};
#pragma unroll 1
  while (run.at < run.end) {
    const int tiles = chunk_of(run, s, b.p.chunk);
    const unsigned char* words_at = ring.take();
    const unsigned char* scale_at = words_at + b.p.chunk * 512 + g * 4;
    words_at += b.lane * 16;
    const int first_k = s.first_k + run.k;
    const int first_group = first_k >> shift;
#pragma unroll kUnroll
    for (int u = 0; u < tiles; ++u) {
      const int k = run.k + u;
      const uint4 words = *reinterpret_cast<const uint4*>(words_at + u * 512);
      float sum[N][4];
#pragma unroll
      for (int n = 0; n < N; ++n) {
        if (used[n]) {
          x[n][0] = *reinterpret_cast<const uint4*>(column[n] + k * 128);
          x[n][1] = *reinterpret_cast<const uint4*>(column[n] + k * 128 + 64);
        }
        const float2 start = *reinterpret_cast<const float2*>(bias + k * (8 * N) + n * 8);
        sum[n][0] = sum[n][2] = start.x;
        sum[n][1] = sum[n][3] = start.y;
      }
      const float2 scale = __half22float2(*reinterpret_cast<const __half2*>(scale_at + (((first_k + u) >> shift) - first_group) * 32));
#pragma unroll
      for (int step = 0; step < 4; ++step) {
        const uint32_t word = step == 0 ? words.x : step == 1 ? words.y : step == 2 ? words.z : words.w;
        const uint32_t a[4] = {(word << 3 & 0x00780078u) | 0x41804180u, (word >> 1 & 0x00780078u) | 0x41804180u, (word >> 5 & 0x00780078u) | 0x41804180u,
                               (word >> 9 & 0x00780078u) | 0x41804180u};
#pragma unroll
        for (int n = 0; n < N; ++n) {
          const uint4& half = x[n][step / 2];
          mma_bf16(sum[n], a, step % 2 ? half.z : half.x, step % 2 ? half.w : half.y);
        }
      }
#pragma unroll
      for (int n = 0; n < N; ++n) {
        total[n][0] += sum[n][0] * scale.x;
        total[n][1] += sum[n][1] * scale.x;
        total[n][2] += sum[n][2] * scale.y;
        total[n][3] += sum[n][3] * scale.y;
      }
    }
    ring.give_back();
    const int slot = b.warp + run.row;
    advance(run, s, tiles);
    if (run.k != 0 && run.at != run.end) continue;
#pragma unroll
    for (int n = 0; n < N; ++n) {
      const int row = n * 4 + t;
      if (row < count) {
        float* at = b.sums + (slot * count + row) * 16 + g;
        at[0] = total[n][0] + total[n][1];  // hi + lo
        at[8] = total[n][2] + total[n][3];
      }
      total[n][0] = total[n][1] = total[n][2] = total[n][3] = 0;
    }
  }
  __syncthreads();
}

// y of the share's output row i (of its rows * 16) for a row of the batch, once product() is done.
__device__ __forceinline__ float value(const Block& b, int matrix, int row, int i) {
  const short2 slots = b.parts.slots[matrix][i / 16];
  float sum = 0;
#pragma unroll 1
  for (int slot = slots.x; slot <= slots.y; ++slot) sum += b.sums[(slot * b.p.count + row) * 16 + i % 16];
  return sum * b.row_scale[row];
}

// out[row][output] = y or, with `add`, += y in rows that take part.
__device__ __forceinline__ void emit(const Block& b, int matrix, float* out, bool add) {
  const Share s = b.parts.share[matrix];
  const int outputs = b.p.matrix[matrix].outputs;
#pragma unroll 1
  for (int row = 0; row < b.p.count; ++row, out += outputs) {
    if (add && b.loop[row] == 0) continue;
#pragma unroll 1
    for (int i = b.tid; i < s.rows * 16; i += kPassThreads) {
      const int output = s.first_row * 16 + i;
      if (output >= outputs) continue;
      const float before = add ? __ldcg(out + output) : 0.0f;
      out[output] = before + value(b, matrix, row, i);
    }
  }
}

__device__ __forceinline__ void emit_swiglu(const Block& b, int matrix, float* out) {
  const Share s = b.parts.share[matrix];
  const int half = b.p.matrix[matrix].outputs / 2;
#pragma unroll 1
  for (int row = 0; row < b.p.count; ++row, out += half) {
#pragma unroll 1
    for (int i = b.tid; i < s.rows * 8; i += kPassThreads) {
      const int output = s.first_row * 8 + i;
      if (output >= half) continue;
      const float gate = value(b, matrix, row, i / 8 * 16 + i % 8);
      const float up = value(b, matrix, row, i / 8 * 16 + i % 8 + 8);
      out[output] = gate / (1 + __expf(-gate)) * up;
    }
  }
}

// hidden += the splits' partial results, in their order.
__device__ __forceinline__ void add_partial(const Block& b, int splits) {
  const int total = b.p.count * b.p.width;
  for (int i = b.member * kPassThreads + b.tid; i < total; i += b.p.members * kPassThreads) {
    float sum = 0;
#pragma unroll 8
    for (int s = 0; s < splits; ++s) sum += __ldcg(b.p.partial + static_cast<std::size_t>(s) * static_cast<std::size_t>(total) + i);
    if (b.loop[i / b.p.width] != 0) b.p.hidden[i] = __ldcg(b.p.hidden + i) + sum;
  }
}

// ---- Attention

template <int D>
struct AttentionScratch {
  float query[kMaxHeadGroup][D];
  float out[kPassWarps][kPassHeads][D];
  float largest[kPassWarps][kPassHeads], total[kPassWarps][kPassHeads];
  __align__(16) unsigned char fresh[2][D * 2];  // the new key and value, as the cache has them
};

constexpr float kPassNoScore = -1e30f;  // finite, so that differences of two of them are 0 and not NaN

// What a block attends to at once: one part of the context of a (row, kv head), by whole pages.
struct Unit {
  int row, kv_head, part;
  bool local;         // the window of the row's own loop; otherwise KV1
  int begin, end;     // positions
  int first_page, pages;
  const int* table;
};

// The unit of that number over all rows, which is the same in all layers. False: there are fewer.
__device__ __forceinline__ bool find_unit(const Block& b, int number, Unit& unit) {
  const PassArguments& p = b.p;
#pragma unroll 1
  for (int row = 0; row < p.count; ++row) {
    if (b.loop[row] == 0) continue;
    const Cut cut = b.cut[row];
    const int units = (cut.busy + (cut.dual ? 1 : 0)) * p.shape.kv_heads;
    if (number >= units) {
      number -= units;
      continue;
    }
    const int position = b.position[row];
    unit.row = row;
    unit.part = number / p.shape.kv_heads;
    unit.kv_head = number - unit.part * p.shape.kv_heads;
    unit.local = unit.part == cut.busy;
    unit.begin = unit.local ? max(max(0, position + 1 - p.window), b.first[row]) : unit.part * cut.pages_each * kPage;
    unit.end = unit.local ? position + 1 : min(position + 1, (unit.part + 1) * cut.pages_each * kPage);
    unit.first_page = unit.begin / kPage;
    unit.pages = (unit.end - 1) / kPage + 1 - unit.first_page;
    unit.table = page_table(p.rows, row, unit.local ? b.loop[row] : 1);
    return true;
  }
  return false;
}

// Pages of keys and values on their way through shared memory, two at a time. All threads hold the same numbers.
template <int D, typename Element>
struct Pages {
  static constexpr uint32_t kBytes = kPage * D * sizeof(Element);  // of a kv head's keys in a page, which lie together
  unsigned char* memory;  // [2][keys, values]
  uint32_t barriers;      // [2]
  uint32_t asked = 0, used = 0;

  __device__ __forceinline__ void ask(const Block& b, const KvCache& cache, const Unit& unit, int i) {
    const uint32_t slot = asked++ % 2;
    if (b.tid != 0) return;
    const std::size_t from = kv_offset(unit.table[unit.first_page + i], 0, unit.kv_head, b.p.shape) * sizeof(Element);
    const uint32_t to = shared_address(memory) + slot * 2 * kBytes;
    // Others may have written the keys (and this block what lay here before) without the copy engine.
    asm volatile("fence.proxy.async;" ::: "memory");
    barrier_expect(barriers + slot * 8, 2 * kBytes);
    bulk_copy(to, static_cast<const unsigned char*>(cache.keys) + from, kBytes, barriers + slot * 8);
    bulk_copy(to + kBytes, static_cast<const unsigned char*>(cache.values) + from, kBytes, barriers + slot * 8);
  }
  __device__ __forceinline__ void ask_first(const Block& b, const KvCache& cache, const Unit& unit) {
    ask(b, cache, unit, 0);
    if (unit.pages > 1) ask(b, cache, unit, 1);
  }
  __device__ __forceinline__ const Element* take() {
    const uint32_t slot = used % 2;
    while (!barrier_passed(barriers + slot * 8, used / 2 % 2)) {
    }
    ++used;
    return reinterpret_cast<const Element*>(memory + slot * 2 * kBytes);
  }
};

// An online softmax over a unit, for all query heads that share its kv head. Its first pages have been asked for.
template <int D, typename Element>
__device__ __forceinline__ void attend(const Block& b, Pages<D, Element>& pages, const PassLayer& layer, const HeadArguments& heads, const Unit& unit) {
  constexpr int kLanes = D / 8;  // a key lies over that many lanes
  constexpr int kKeys = 32 / kLanes;
  constexpr int kAtOnce = 2;
  const PassArguments& p = b.p;
  AttentionScratch<D>& scratch = *reinterpret_cast<AttentionScratch<D>*>(b.columns);
  const int group = p.shape.heads / p.shape.kv_heads;
  const int row = unit.row;
  const int position = b.position[row];
  const int loop = b.loop[row];
  const float* qkv = p.qkv + static_cast<std::size_t>(row) * static_cast<std::size_t>((p.shape.heads + 2 * p.shape.kv_heads) * D);
  const float2* turns = b.turns + row * (D / 2);
  // The one unit that sees the row's new key writes it. With several rows all keys were written before.
  const bool writes = p.count == 1 && unit.end == position + 1 && (loop == 1 || unit.local);
  if (b.warp < group) {
    const int head = unit.kv_head * group + b.warp;
    finish_head(heads, row, head, b.lane, qkv + head * D, turns, scratch.query[b.warp]);
  } else if (writes && b.warp < group + 2) {
    const int head = p.shape.heads + unit.kv_head + (b.warp - group) * p.shape.kv_heads;
    finish_head(heads, row, head, b.lane, qkv + head * D, turns, scratch.fresh[b.warp - group]);
  }
  __syncthreads();

  // Warps share the keys, and where there are many heads also those.
  const int teams = (group + kPassHeads - 1) / kPassHeads;  // 1, 2 or 3
  const int heads_each = teams == 1 ? group : teams == 2 ? (group + 1) / 2 : (group + 2) / 3;
  const int warps_each = teams == 1 ? kPassWarps : teams == 2 ? kPassWarps / 2 : kPassWarps / 3;
  const int team = (b.warp >= warps_each) + (b.warp >= 2 * warps_each) + (b.warp >= 3 * warps_each);
  const int first_head = team * heads_each;
  const int own_heads = team < teams ? min(heads_each, group - first_head) : 0;
  const int slot = b.lane / kLanes;
  const int dim = b.lane % kLanes * 8;
  const float scale = rsqrtf(static_cast<float>(D)) * 1.44269504f;  // scores in units of log2

  float q[kPassHeads][8], out[kPassHeads][8], largest[kPassHeads], total[kPassHeads];
#pragma unroll
  for (int h = 0; h < kPassHeads; ++h) {
    largest[h] = kPassNoScore;
    total[h] = 0;
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      q[h][i] = h < own_heads ? scratch.query[first_head + h][dim + i] * scale : 0.0f;
      out[h][i] = 0;
    }
  }
#pragma unroll 1
  for (int page = 0; page < unit.pages; ++page) {
    const Element* keys = pages.take();
    const Element* values = keys + kPage * D;
    const int start = (unit.first_page + page) * kPage;
#pragma unroll 1
    for (int base = (b.warp - team * warps_each) * kKeys + slot; base - slot < kPage && own_heads > 0; base += warps_each * kKeys * kAtOnce) {
      decltype(load_eight(keys)) key[kAtOnce]{}, val[kAtOnce]{};
      bool seen[kAtOnce];
#pragma unroll
      for (int u = 0; u < kAtOnce; ++u) {
        const int line = base + u * warps_each * kKeys;
        const int at = start + line;
        seen[u] = line < kPage && at >= unit.begin && at < unit.end;
        if (seen[u]) {
          const bool fresh = writes && at == position;
          key[u] = load_eight(fresh ? reinterpret_cast<const Element*>(scratch.fresh[0]) + dim : keys + line * D + dim);
          val[u] = load_eight(fresh ? reinterpret_cast<const Element*>(scratch.fresh[1]) + dim : values + line * D + dim);
        }
      }
      float score[kAtOnce][kPassHeads];
#pragma unroll
      for (int u = 0; u < kAtOnce; ++u) {
        float k[8];
        unpack_eight(k, key[u]);
#pragma unroll
        for (int h = 0; h < kPassHeads; ++h) {
          float sum = 0;
#pragma unroll
          for (int i = 0; i < 8; ++i) sum += q[h][i] * k[i];
#pragma unroll
          for (int offset = kLanes / 2; offset > 0; offset /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, offset);
          score[u][h] = seen[u] ? sum : kPassNoScore;
        }
      }
#pragma unroll
      for (int h = 0; h < kPassHeads; ++h) {
        float most = largest[h];
#pragma unroll
        for (int u = 0; u < kAtOnce; ++u) most = fmaxf(most, score[u][h]);
        const float shrink = exp2f(largest[h] - most);
        largest[h] = most;
        total[h] *= shrink;
#pragma unroll
        for (int i = 0; i < 8; ++i) out[h][i] *= shrink;
      }
#pragma unroll
      for (int u = 0; u < kAtOnce; ++u) {
        float v[8];
        unpack_eight(v, val[u]);
#pragma unroll
        for (int h = 0; h < kPassHeads; ++h) {
          const float weight = seen[u] ? exp2f(score[u][h] - largest[h]) : 0.0f;
          total[h] += weight;
#pragma unroll
          for (int i = 0; i < 8; ++i) out[h][i] += weight * v[i];
        }
      }
    }
    if (page + 2 < unit.pages) {
      __syncthreads();  // all are done with this page
      pages.ask(b, layer.cache, unit, page + 2);
    }
  }
  // The warp's key slots, then the block's warps.
#pragma unroll
  for (int h = 0; h < kPassHeads; ++h) {
    float most = largest[h];
#pragma unroll
    for (int offset = kLanes; offset < 32; offset *= 2) most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, offset));
    const float shrink = exp2f(largest[h] - most);
    total[h] *= shrink;
#pragma unroll
    for (int i = 0; i < 8; ++i) out[h][i] *= shrink;
#pragma unroll
    for (int offset = kLanes; offset < 32; offset *= 2) {
      total[h] += __shfl_xor_sync(0xffffffffu, total[h], offset);
#pragma unroll
      for (int i = 0; i < 8; ++i) out[h][i] += __shfl_xor_sync(0xffffffffu, out[h][i], offset);
    }
    if (slot == 0) {
#pragma unroll
      for (int i = 0; i < 8; ++i) scratch.out[b.warp][h][dim + i] = out[h][i];
      if (b.lane == 0) {
        scratch.largest[b.warp][h] = most;
        scratch.total[b.warp][h] = total[h];
      }
    }
  }
  __syncthreads();
  float* to = part_of(p, row, unit.kv_head, unit.local ? p.splits : unit.part);
  if (b.warp < group) {
    // A warp a head: its warps' factors once, then the sums.
    const int own_team = (b.warp >= heads_each) + (b.warp >= 2 * heads_each);
    const int h = b.warp - own_team * heads_each;
    const int w = own_team * warps_each + b.lane;
    const float own_largest = b.lane < warps_each ? scratch.largest[w][h] : kPassNoScore;
    const float most = warp_max(own_largest);
    const float factor = exp2f(own_largest - most);
    const float whole = warp_sum(b.lane < warps_each ? factor * scratch.total[w][h] : 0.0f);
    float sum[D / 32] = {};
#pragma unroll 4
    for (int i = 0; i < warps_each; ++i) {
      const float f = __shfl_sync(0xffffffffu, factor, i);
#pragma unroll
      for (int d = 0; d < D / 32; ++d) sum[d] += f * scratch.out[own_team * warps_each + i][h][b.lane + d * 32];
    }
#pragma unroll
    for (int d = 0; d < D / 32; ++d) to[b.warp * D + b.lane + d * 32] = sum[d];
    if (b.lane == 0) {
      to[group * D + b.warp] = whole;
      to[group * (D + 1) + b.warp] = most;
    }
    if (unit.local) {
      const int head = unit.kv_head * group + b.warp;
      const float* weight = gain_of(layer.gate_weight, loop) + head * D;
      float dot = 0;
#pragma unroll
      for (int d = 0; d < D / 32; ++d) dot += scratch.query[b.warp][b.lane + d * 32] * weight[b.lane + d * 32];
      dot = warp_sum(dot) + gain_of(layer.gate_bias, loop)[head];
      if (b.lane == 0) to[group * (D + 2) + b.warp] = 1 / (1 + expf(-dot));
    }
  }
}

// What each part of a (row, head) counts for: e^(m_s - m) / sum_s e^(m_s - m) l_s times the gate, and for the window its own
// total and the gate's rest. Lane s and its like beyond 32 have part s; `window` is the same in all lanes.
struct Factors {
  float of[2], window;
};

__device__ __forceinline__ Factors factors_of(const Block& b, int row, int kv_head, int h) {
  const PassArguments& p = b.p;
  const Cut cut = b.cut[row];
  const int group = p.shape.heads / p.shape.kv_heads;
  const int sums = group * p.shape.head_dim;
  const float* first = part_of(p, row, kv_head, 0);
  const float* local = first + static_cast<std::size_t>(p.splits) * part_size(p);
  float most[2], total[2], whole = 0, top = kPassNoScore;
#pragma unroll
  for (int j = 0; j < 2; ++j) {
    const int s = b.lane + 32 * j;
    const float* part = first + static_cast<std::size_t>(s) * part_size(p) + sums + h;
    total[j] = s < cut.busy ? __ldcg(part) : 0.0f;
    most[j] = s < cut.busy ? __ldcg(part + group) : kPassNoScore;
    top = fmaxf(top, most[j]);
  }
  const float gate = cut.dual ? __ldcg(local + sums + 2 * group + h) : 1.0f;
  const float local_total = cut.dual ? __ldcg(local + sums + h) : 1.0f;
  top = warp_max(top);
#pragma unroll
  for (int j = 0; j < 2; ++j) {
    most[j] = exp2f(most[j] - top);
    whole += total[j] * most[j];
  }
  const float share = gate / warp_sum(whole);
  return {{b.lane < cut.busy ? most[0] * share : 0.0f, b.lane + 32 < cut.busy ? most[1] * share : 0.0f}, (1 - gate) / local_total};
}

// The factors of all parts of all rows into `sums`, [row][head][splits + 1], by every block for itself: few parts only.
__device__ __forceinline__ void merge_factors(const Block& b) {
  const PassArguments& p = b.p;
  const int group = p.shape.heads / p.shape.kv_heads;
#pragma unroll 1
  for (int i = b.warp; i < p.count * p.shape.heads; i += kPassWarps) {
    const int row = i / p.shape.heads;
    const int head = i - row * p.shape.heads;
    float* to = b.sums + i * (p.splits + 1);
    if (b.loop[row] == 0) {
      if (b.lane <= p.splits) to[b.lane] = 0;
      continue;
    }
    const int kv_head = head / group;
    const Factors factors = factors_of(b, row, kv_head, head - kv_head * group);
    if (b.lane < p.splits) to[b.lane] = factors.of[0];
    if (b.lane == p.splits) to[b.lane] = b.cut[row].dual ? factors.window : 0.0f;
  }
  __syncthreads();
}

// mixed = the parts of each (row, head), merged: each block some heads.
template <int D>
__device__ __forceinline__ void merge(const Block& b) {
  constexpr int kDims = D / 32;
  const PassArguments& p = b.p;
  const int group = p.shape.heads / p.shape.kv_heads;
#pragma unroll 1
  for (int i = b.member * kPassWarps + b.warp; i < p.count * p.shape.heads; i += p.members * kPassWarps) {
    const int row = i / p.shape.heads;
    const int head = i - row * p.shape.heads;
    if (b.loop[row] == 0) continue;
    const Cut cut = b.cut[row];
    const int kv_head = head / group;
    const int h = head - kv_head * group;
    const Factors factors = factors_of(b, row, kv_head, h);
    const float* first = part_of(p, row, kv_head, 0) + h * D + b.lane * kDims;
    const int size = part_size(p);
    float result[kDims] = {};
#pragma unroll 4
    for (int s = 0; s < cut.busy; ++s) {
      const float factor = __shfl_sync(0xffffffffu, s < 32 ? factors.of[0] : factors.of[1], s % 32);
#pragma unroll
      for (int d = 0; d < kDims; ++d) result[d] += factor * __ldcg(first + static_cast<std::size_t>(s) * size + d);
    }
    if (cut.dual) {
#pragma unroll
      for (int d = 0; d < kDims; ++d) result[d] += factors.window * __ldcg(first + static_cast<std::size_t>(p.splits) * size + d);
    }
#pragma unroll
    for (int d = 0; d < kDims; ++d) p.mixed[static_cast<std::size_t>(row) * p.shape.heads * D + head * D + b.lane * kDims + d] = result[d];
  }
}

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
