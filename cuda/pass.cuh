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

__device__ __forceinline__ uint4 load_shared(uint32_t address) {
  uint4 v;
  asm volatile("ld.shared.v4.u32 {%0,%1,%2,%3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "r"(address));
  return v;
}

// What the parts of the kernel share: where things are, who the thread is.
struct Block {
  const PassArguments& p;
  int member, tid, warp, lane;
  unsigned char* columns;  // x as bf16 columns; attention's scratch
  float* bias;             // [tile of K][8 N]
  float* sums;             // [slot][count][16]
  const Share* shares;
  float* squares;    // [kMaxPassRows][kPassWarps]
  float* row_scale;  // [kMaxPassRows]
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

// Copies columns [k_begin, k_begin + k_count) of x into shared memory as bf16, hi and lo of each row side by side as two
// columns, times the gain of the row's loop. `bias` gets -24 times the sum of every 64 of a column (see product()). The
// norm's factor is the same for a whole row, so it comes last: from the sums of squares, over a whole row then.
template <int N>
__device__ __forceinline__ void stage(const Block& b, const float* x, int cols, int k_begin, int k_count, const Gain& gain) {
  constexpr int kTogether = 4;  // rows in flight at once
  const int count = b.p.count;
  const int stride = k_count + 32;
  __nv_bfloat16* columns = reinterpret_cast<__nv_bfloat16*>(b.columns);
  for (int first = 0; first < count; first += kTogether) {
    float squares[kTogether] = {};
    for (int base = b.warp * 128; base < k_count; base += kPassThreads * 4) {
      const int at = base + b.lane * 4;
      const bool inside = at < k_count;
      float4 v[kTogether];
#pragma unroll
      for (int r = 0; r < kTogether; ++r) {
        v[r] = make_float4(0, 0, 0, 0);
        if (inside && first + r < count) v[r] = __ldcg(reinterpret_cast<const float4*>(x + static_cast<std::size_t>(first + r) * cols + k_begin + at));
      }
#pragma unroll
      for (int r = 0; r < kTogether; ++r) {
        const int row = first + r;
        if (row >= count) break;
        float4 scale = {1, 1, 1, 1};
        if (gain.data && inside) scale = *reinterpret_cast<const float4*>(gain_of(gain, b.p.rows.loop[row]) + k_begin + at);
        squares[r] += v[r].x * v[r].x + v[r].y * v[r].y + v[r].z * v[r].z + v[r].w * v[r].w;
        const float x0 = v[r].x * scale.x, x1 = v[r].y * scale.y, x2 = v[r].z * scale.z, x3 = v[r].w * scale.w;
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
    for (int r = 0; r < kTogether; ++r) {
      const float whole = warp_sum(squares[r]);
      if (b.lane == 0 && first + r < count) b.squares[(first + r) * kPassWarps + b.warp] = whole;
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
  const Share s = b.shares[matrix];
  const int shift = b.p.matrix[matrix].group_shift;
  Run run = run_of(s, b.warp);
  const int g = b.lane / 4;
  const int t = b.lane % 4;
  const int count = b.p.count;
  uint32_t column[N];
#pragma unroll
  for (int n = 0; n < N; ++n) column[n] = shared_address(b.columns) + static_cast<uint32_t>(min(n * 8 + g, 2 * count - 1) * (s.ks * kTileCols + 32) + t * 8) * 2;
  const float* bias = b.bias + 2 * t;
  float total[N][4] = {};
  while (run.at < run.end) {
    const int tiles = chunk_of(run, s, b.p.chunk);
    const int first_group = (s.first_k + run.k) >> shift;
    const uint32_t chunk = ring.take();
#pragma unroll kUnroll
    for (int u = 0; u < tiles; ++u) {
      const int k = run.k + u;
      const uint4 words = load_shared(chunk + static_cast<uint32_t>(u * 512 + b.lane * 16));
      uint4 x[N][2];
      float sum[N][4];
#pragma unroll
      for (int n = 0; n < N; ++n) {
        x[n][0] = load_shared(column[n] + static_cast<uint32_t>(k) * 128);
        x[n][1] = load_shared(column[n] + static_cast<uint32_t>(k) * 128 + 64);
        const float2 start = *reinterpret_cast<const float2*>(bias + k * (8 * N) + n * 8);
        sum[n][0] = sum[n][2] = start.x;
        sum[n][1] = sum[n][3] = start.y;
      }
      uint32_t half_scale;
      asm volatile("ld.shared.u32 %0, [%1];" : "=r"(half_scale) : "r"(chunk + static_cast<uint32_t>(b.p.chunk * 512 + ((((s.first_k + k) >> shift) - first_group) * 8 + g) * 4)));
      const float2 scale = __half22float2(*reinterpret_cast<const __half2*>(&half_scale));
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
__device__ __forceinline__ float value(const Block& b, const Share& s, int row, int i) {
  const int tile = i / 16;
  const int first = warp_of(s, tile * s.ks) + tile;
  const int last = warp_of(s, (tile + 1) * s.ks - 1) + tile;
  float sum = 0;
#pragma unroll 4
  for (int slot = first; slot <= last; ++slot) sum += b.sums[(slot * b.p.count + row) * 16 + i % 16];
  return sum * b.row_scale[row];
}

// out[row][output] = y or, with `add`, += y in rows that take part.
__device__ __forceinline__ void emit(const Block& b, int matrix, float* out, bool add) {
  const Share s = b.shares[matrix];
  const int outputs = b.p.matrix[matrix].outputs;
  for (int i = b.tid; i < s.rows * 16 * b.p.count; i += kPassThreads) {
    const int row = i / (s.rows * 16);
    const int at = i % (s.rows * 16);
    const int output = s.first_row * 16 + at;
    if (output >= outputs) continue;
    float* to = out + static_cast<std::size_t>(row) * outputs + output;
    if (!add) {
      *to = value(b, s, row, at);
    } else if (b.p.rows.loop[row] != 0) {
      *to = __ldcg(to) + value(b, s, row, at);
    }
  }
}

__device__ __forceinline__ void emit_swiglu(const Block& b, int matrix, float* out) {
  const Share s = b.shares[matrix];
  const int half = b.p.matrix[matrix].outputs / 2;
  for (int i = b.tid; i < s.rows * 8 * b.p.count; i += kPassThreads) {
    const int row = i / (s.rows * 8);
    const int at = i % (s.rows * 8);
    const int output = s.first_row * 8 + at;
    if (output >= half) continue;
    const float gate = value(b, s, row, at / 8 * 16 + at % 8);
    const float up = value(b, s, row, at / 8 * 16 + at % 8 + 8);
    out[static_cast<std::size_t>(row) * half + output] = gate / (1 + expf(-gate)) * up;
  }
}

// hidden += the splits' partial results, in their order.
__device__ __forceinline__ void add_partial(const Block& b, int splits) {
  const int total = b.p.count * b.p.width;
  for (int i = b.member * kPassThreads + b.tid; i < total; i += b.p.members * kPassThreads) {
    float sum = 0;
#pragma unroll 8
    for (int s = 0; s < splits; ++s) sum += __ldcg(b.p.partial + static_cast<std::size_t>(s) * static_cast<std::size_t>(total) + i);
    if (b.p.rows.loop[i / b.p.width] != 0) b.p.hidden[i] = __ldcg(b.p.hidden + i) + sum;
  }
}

// ---- Attention

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

// One part of a (row, kv head): sums [G][D], largest scores [G], totals [G], gates [G].
__device__ __forceinline__ float* part_of(const PassArguments& p, int row, int kv_head, int part) {
  const int group = p.shape.heads / p.shape.kv_heads;
  return p.parts + static_cast<std::size_t>((row * p.shape.kv_heads + kv_head) * (p.splits + 1) + part) * static_cast<std::size_t>(group * (p.shape.head_dim + 3));
}

template <int D>
struct AttentionScratch {
  float query[kMaxHeadGroup][D];
  float out[kPassWarps][kPassHeads][D];
  float largest[kPassWarps][kPassHeads], total[kPassWarps][kPassHeads];
};

constexpr float kPassNoScore = -1e30f;  // finite, so that differences of two of them are 0 and not NaN

// An online softmax over one part of a context, for all query heads that share a kv head.
template <int D, typename Element>
__device__ __forceinline__ void attend(const Block& b, const PassLayer& layer, const HeadArguments& heads, int row, int kv_head, int part, const Cut& cut) {
  constexpr int kLanes = D / 8;  // a key lies over that many lanes
  constexpr int kKeys = 32 / kLanes;
  constexpr int kAtOnce = 2;  // more would not fit the registers
  const PassArguments& p = b.p;
  AttentionScratch<D>& scratch = *reinterpret_cast<AttentionScratch<D>*>(b.columns);
  const int group = p.shape.heads / p.shape.kv_heads;
  const int position = p.rows.position[row];
  const int loop = p.rows.loop[row];
  const bool local = part == cut.busy;
  const float* qkv = p.qkv + static_cast<std::size_t>(row) * static_cast<std::size_t>((p.shape.heads + 2 * p.shape.kv_heads) * D);
  if (b.warp < group) {
    const int head = kv_head * group + b.warp;
    finish_head(heads, row, head, b.lane, qkv + head * D, scratch.query[b.warp]);
  } else if (p.count == 1 && b.warp < group + 2 && (loop == 1 ? part == cut.busy - 1 : local)) {
    // The one part that sees the new key writes it. With several rows all keys were written before.
    const int head = p.shape.heads + kv_head + (b.warp - group) * p.shape.kv_heads;
    finish_head(heads, row, head, b.lane, qkv + head * D, nullptr);
  }
  __syncthreads();

  int begin = part * cut.pages_each * kPage;
  int end = min(position + 1, begin + cut.pages_each * kPage);
  if (local) {
    begin = max(max(0, position + 1 - p.window), p.rows.first ? p.rows.first[row] : 0);
    end = position + 1;
  }
  const int* table = page_table(p.rows, row, local ? loop : 1);
  const auto* keys = static_cast<const Element*>(layer.cache.keys);
  const auto* values = static_cast<const Element*>(layer.cache.values);
  // Warps share the keys, and where there are many heads also those.
  const int teams = (group + kPassHeads - 1) / kPassHeads;
  const int heads_each = (group + teams - 1) / teams;
  const int warps_each = kPassWarps / teams;
  const int team = b.warp / warps_each;
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
  for (int base = begin; base < end && own_heads > 0; base += warps_each * kKeys * kAtOnce) {
    decltype(load_eight(keys)) key[kAtOnce]{}, val[kAtOnce]{};
    bool seen[kAtOnce];
#pragma unroll
    for (int u = 0; u < kAtOnce; ++u) {
      const int at = base + (u * warps_each + b.warp % warps_each) * kKeys + slot;
      seen[u] = at < end;
      if (seen[u]) {
        const std::size_t from = kv_offset(table[at / kPage], at, kv_head, p.shape) + static_cast<std::size_t>(dim);
        key[u] = load_eight(keys + from);
        val[u] = load_eight(values + from);
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
  float* to = part_of(p, row, kv_head, local ? p.splits : part);
  for (int i = b.tid; i < group * (D + 1); i += kPassThreads) {
    const bool sums = i < group * D;
    const int head = sums ? i / D : i - group * D;
    const int first_warp = head / heads_each * warps_each;
    const int h = head % heads_each;
    float most = kPassNoScore;
    for (int w = first_warp; w < first_warp + warps_each; ++w) most = fmaxf(most, scratch.largest[w][h]);
    float sum = 0;
    for (int w = first_warp; w < first_warp + warps_each; ++w) {
      sum += exp2f(scratch.largest[w][h] - most) * (sums ? scratch.out[w][h][i % D] : scratch.total[w][h]);
    }
    to[i] = sum;
    if (!sums) to[i + group] = most;
  }
  if (local && b.warp < group) {
    const int head = kv_head * group + b.warp;
    const float* weight = gain_of(layer.gate_weight, loop) + head * D;
    float dot = 0;
    for (int i = b.lane; i < D; i += 32) dot += scratch.query[b.warp][i] * weight[i];
    dot = warp_sum(dot) + gain_of(layer.gate_bias, loop)[head];
    if (b.lane == 0) to[group * (D + 2) + b.warp] = 1 / (1 + expf(-dot));
  }
  __syncthreads();  // before the scratch is used again
}

// mixed = the parts of each (row, head), merged: sum_s e^(m_s - m) o_s / sum_s e^(m_s - m) l_s, and mixed by the gate.
template <int D>
__device__ __forceinline__ void merge(const Block& b) {
  constexpr int kDims = D / 32;
  const PassArguments& p = b.p;
  const int group = p.shape.heads / p.shape.kv_heads;
  for (int i = b.member * kPassWarps + b.warp; i < p.count * p.shape.heads; i += p.members * kPassWarps) {
    const int row = i / p.shape.heads;
    const int head = i % p.shape.heads;
    const int loop = p.rows.loop[row];
    if (loop == 0) continue;
    const Cut cut = cut_of(p, p.rows.position[row], loop);
    const int h = head % group;
    const float* first = part_of(p, row, head / group, 0);
    const int part_size = group * (D + 3);
    float most[2], share[2], whole = 0, top = kPassNoScore;
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      const int s = b.lane + 32 * j;
      const float* part = first + static_cast<std::size_t>(s) * part_size + group * D + h;
      share[j] = s < cut.busy ? __ldcg(part) : 0.0f;
      most[j] = s < cut.busy ? __ldcg(part + group) : kPassNoScore;
      top = fmaxf(top, most[j]);
    }
    top = warp_max(top);
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      most[j] = exp2f(most[j] - top);
      whole += share[j] * most[j];
    }
    whole = warp_sum(whole);
    const float* local = first + static_cast<std::size_t>(p.splits) * part_size;
    const float gate = cut.dual ? __ldcg(local + group * (D + 2) + h) : 1.0f;
    float result[kDims] = {};
    const int dim = h * D + b.lane * kDims;
#pragma unroll 4
    for (int s = 0; s < cut.busy; ++s) {
      const float factor = __shfl_sync(0xffffffffu, s < 32 ? most[0] : most[1], s % 32) * gate / whole;
#pragma unroll
      for (int d = 0; d < kDims; ++d) result[d] += factor * __ldcg(first + static_cast<std::size_t>(s) * part_size + dim + d);
    }
    if (cut.dual) {
      const float factor = (1 - gate) / __ldcg(local + group * D + h);
#pragma unroll
      for (int d = 0; d < kDims; ++d) result[d] += factor * __ldcg(local + dim + d);
    }
#pragma unroll
    for (int d = 0; d < kDims; ++d) p.mixed[static_cast<std::size_t>(row) * p.shape.heads * D + head * D + b.lane * kDims + d] = result[d];
  }
}

template <int D>
__device__ __forceinline__ void attention_step(const Block& b, const PassLayer& layer) {
  const PassArguments& p = b.p;
  const HeadArguments heads{layer.cache, layer.qkv_bias, layer.q_gain, layer.k_gain, p.rope, p.rows, p.shape, p.eps};
  const int width = (p.shape.heads + 2 * p.shape.kv_heads) * D;
  if (p.count > 1) {
    // Rows may be of one session: all keys and values are written before any are read.
    for (int i = b.member * kPassWarps + b.warp; i < p.count * 2 * p.shape.kv_heads; i += p.members * kPassWarps) {
      const int row = i / (2 * p.shape.kv_heads);
      const int head = p.shape.heads + i % (2 * p.shape.kv_heads);
      if (p.rows.loop[row] != 0) finish_head(heads, row, head, b.lane, p.qkv + static_cast<std::size_t>(row) * width + head * D, nullptr);
    }
    b.meet();
  }
  b.lap(4);
  int unit = b.member;
  for (int row = 0; row < p.count; ++row) {
    const int loop = p.rows.loop[row];
    if (loop == 0) continue;
    const Cut cut = cut_of(p, p.rows.position[row], loop);
    const int units = (cut.busy + (cut.dual ? 1 : 0)) * p.shape.kv_heads;
    for (; unit < units; unit += p.members) {
      if (layer.cache.type == Type::bf16) {
        attend<D, __nv_bfloat16>(b, layer, heads, row, unit % p.shape.kv_heads, unit / p.shape.kv_heads, cut);
      } else {
        attend<D, Fp8>(b, layer, heads, row, unit % p.shape.kv_heads, unit / p.shape.kv_heads, cut);
      }
    }
    unit -= units;
  }
  b.lap(5);
  b.meet();
  b.lap(6);
  merge<D>(b);
  b.lap(7);
  b.meet();
  b.lap(8);
}

#endif

template <int N, int D>
__global__ __launch_bounds__(kPassThreads, 1) void pass_kernel(const __grid_constant__ PassArguments p) {
#if __CUDA_ARCH__ >= 900
  extern __shared__ __align__(128) unsigned char shared[];
  __shared__ __align__(8) unsigned long long barriers[kPassWarps * kPassStages];
  __shared__ const unsigned char* weights[kPassLayers * kPassMatrices];
  __shared__ Share shares[kPassMatrices];
  __shared__ float squares[kMaxPassRows * kPassWarps], row_scale[kMaxPassRows];
  __shared__ long long clocks[kPassLaps + 1];
  const int tid = static_cast<int>(threadIdx.x);
  const Block b{p, static_cast<int>(blockIdx.x), tid, tid / 32, tid % 32, shared + p.columns_at, reinterpret_cast<float*>(shared + p.bias_at),
                reinterpret_cast<float*>(shared + p.sums_at), shares, squares, row_scale, clocks};
  for (int i = tid; i < p.layer_count * kPassMatrices; i += kPassThreads) {
    const PassLayer& layer = p.layers[i / kPassMatrices];
    const int m = i % kPassMatrices;
    weights[i] = static_cast<const unsigned char*>(m == 0 ? layer.qkv.data : m == 1 ? layer.o.data : m == 2 ? layer.gate_up.data : layer.down.data);
  }
  if (tid < kPassLaps) clocks[tid] = 0;
  if (tid < kPassMatrices) shares[tid] = share_of(p.matrix[tid], b.member);
  if (tid < kPassWarps * kPassStages) barrier_init(shared_address(barriers + tid));
  asm volatile("fence.mbarrier_init.release.cluster;\n\tfence.proxy.async.shared::cta;" ::: "memory");
  __syncthreads();
  Ring ring{p, shares, weights, shared_address(shared) + static_cast<uint32_t>(b.warp * p.stages * p.chunk * 544), shared_address(barriers + b.warp * kPassStages), b.warp, b.lane};
  ring.start();
  let_next_start();
  wait_for_previous();

  if (tid == 0) clocks[kPassLaps] = clock64();

  enum { kQkv, kO, kGateUp, kDown };
  const int q_width = p.shape.heads * D;
  for (int i = 0; i < p.layer_count; ++i) {
    const PassLayer& layer = p.layers[i];
    stage<N>(b, p.hidden, p.width, 0, p.width, layer.input_gain);
    b.lap(0);
    product<N>(b, ring, kQkv);
    b.lap(1);
    emit(b, kQkv, p.qkv, false);
    b.lap(2);
    b.meet();
    b.lap(3);
    attention_step<D>(b, layer);
    stage<N>(b, p.mixed, q_width, 0, q_width, {});
    b.lap(9);
    product<N>(b, ring, kO);
    b.lap(10);
    emit(b, kO, p.hidden, true);
    b.lap(11);
    b.meet();
    b.lap(12);
    stage<N>(b, p.hidden, p.width, 0, p.width, layer.attention_gain);
    b.lap(13);
    product<N>(b, ring, kGateUp);
    b.lap(14);
    emit_swiglu(b, kGateUp, p.inner);
    b.lap(15);
    b.meet();
    b.lap(16);
    const PassMatrix& down = p.matrix[kDown];
    stage<N>(b, p.inner, down.cols, shares[kDown].first_k * kTileCols, shares[kDown].ks * kTileCols, {});
    b.lap(17);
    product<N>(b, ring, kDown);
    b.lap(18);
    if (down.splits == 1) {
      emit(b, kDown, p.hidden, true);
      b.lap(19);
    } else {
      emit(b, kDown, p.partial + static_cast<std::size_t>(b.member % down.splits) * static_cast<std::size_t>(p.count) * static_cast<std::size_t>(p.width), false);
      b.lap(19);
      b.meet();
      b.lap(20);
      add_partial(b, down.splits);
      b.lap(21);
    }
    b.meet();
    b.lap(22);
  }
  if (p.clocks && b.member == 0 && tid < kPassLaps) p.clocks[tid] += clocks[tid];
#endif
}

}  // namespace cuda
