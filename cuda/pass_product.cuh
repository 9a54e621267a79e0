// The products within a loop's one kernel: x into shared memory, weights from their rings, results to where they belong.
#pragma once

#include "cuda/kv.cuh"
#include "cuda/pass_block.cuh"

namespace cuda {

#if __CUDA_ARCH__ >= 900

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

#endif

}  // namespace cuda
