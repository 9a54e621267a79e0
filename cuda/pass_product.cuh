// The products within a loop's one kernel: x into shared memory, weights from their rings, results to where they belong.
//
// Weights are numbers of 4 bits, so products are of integers. x becomes fixed point of 16 bits for every 64 columns (a tile's
// width), v = round(32512 x / max |x|) = 256 hi + lo with hi and lo of 8 bits: two columns of a tensor core's operand. Sums
// of a tile are exact; its error is that of v, 2^-16 of the largest x, while bf16 has 2^-9 of each.
#pragma once

#include "cuda/kv.cuh"
#include "cuda/pass_block.cuh"

namespace cuda {

#if __CUDA_ARCH__ >= 900

constexpr float kFixedMost = 127 * 256;

// Of a (tile of K, row): what 1 of v means, and -8 times the sum of v, because a weight of 0 is stored as 8.
struct Fixed {
  float unit;
  int bias;
};

// [tile of K][4 N rows]; then [row][piece of x] sums of squares; then [row][output] what an addition adds to.
__device__ __forceinline__ Fixed* fixed_of(const Block& b) { return reinterpret_cast<Fixed*>(b.bias); }
__device__ __forceinline__ float* piece_squares(const Block& b) { return b.bias + b.p.squares_from_bias; }
__device__ __forceinline__ float* before_of(const Block& b) { return b.bias + b.p.before_from_bias; }

// Bytes between columns of x: halves of 128 by turns, so that the lanes of a load do not meet in a bank.
__device__ __forceinline__ int column_stride(int k_count) { return k_count | 64; }

// d += a * b: a is 16 rows x 32 columns of unsigned bytes, b 32 x 8 of signed ones. With g = lane / 4 and t = lane % 4:
// a[0], a[2] hold row g, a[1], a[3] row g + 8, columns 4t and on in each half of 16; b0, b1 likewise of column g; d as in
// mma_bf16().
__device__ __forceinline__ void mma_u8s8(int (&d)[4], uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3, uint32_t b0, uint32_t b1) {
  asm("mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
      : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

__device__ __forceinline__ float4 times(const float4& a, const float4& b) { return {a.x * b.x, a.y * b.y, a.z * b.z, a.w * b.w}; }
__device__ __forceinline__ float largest(const float4& v) { return fmaxf(fmaxf(fabsf(v.x), fabsf(v.y)), fmaxf(fabsf(v.z), fabsf(v.w))); }
__device__ __forceinline__ float square(const float4& v) { return __fmaf_rn(v.x, v.x, __fmaf_rn(v.y, v.y, __fmaf_rn(v.z, v.z, __fmul_rn(v.w, v.w)))); }

// Four values as fixed point: their low and high bytes in the order 0, 2, 1, 3, in which four nibbles of a word of weights
// come out (layout.h), and their sum. A float of 1.5 * 2^23 + v has v in its lowest bits, rounded to even.
__device__ __forceinline__ uint32_t fix_four(const float4& v, float inverse, uint32_t& hi, uint32_t& lo) {
  constexpr float kShift = 12582912.0f;
  const uint32_t f0 = __float_as_uint(__fmaf_rn(v.x, inverse, kShift)), f1 = __float_as_uint(__fmaf_rn(v.y, inverse, kShift));
  const uint32_t f2 = __float_as_uint(__fmaf_rn(v.z, inverse, kShift)), f3 = __float_as_uint(__fmaf_rn(v.w, inverse, kShift));
  lo = __byte_perm(__byte_perm(f0, f2, 0x0040), __byte_perm(f1, f3, 0x0040), 0x5410);
  hi = __byte_perm(__byte_perm(f0 + 128, f2 + 128, 0x0051), __byte_perm(f1 + 128, f3 + 128, 0x0051), 0x5410);
  return f0 + f1 + f2 + f3 - 4 * 0x4b400000u;
}

// What stage() has on its way: a lane's eight values, fours i and i + 8 of the tile lane / 8, with i = lane % 8.
struct Piece {
  int row, number;
  float4 x[2], gain[2];
};

// How far the neighbour's shared memory is from this block's, in addresses of the pair; 0: there is none.
template <int N>
__device__ __forceinline__ uint32_t to_neighbour(const Block& b) {
  if (N == 1 || !b.p.paired) return 0;
  const uint32_t own = shared_address(b.columns);
  uint32_t there;
  asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(own), "r"((b.member ^ 1) & 1));
  return there - own;
}

// Writes here and, where there is one, to the neighbour.
__device__ __forceinline__ void put(uint2* at, const uint2& value, uint32_t neighbour) {
  *at = value;
  if (neighbour) asm volatile("st.shared::cluster.v2.u32 [%0], {%1, %2};" ::"r"(shared_address(at) + neighbour), "r"(value.x), "r"(value.y) : "memory");
}

// Writes a piece as fixed point to its row's two columns. The eight lanes of a tile get what belongs to it.
__device__ __forceinline__ Fixed fix_piece(const Piece& p, unsigned char* to, int stride, bool inside, uint32_t neighbour) {
  const float4 first = times(p.x[0], p.gain[0]), second = times(p.x[1], p.gain[1]);
  float most = fmaxf(largest(first), largest(second));
#pragma unroll
  for (int offset = 4; offset > 0; offset /= 2) most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, offset));
  const float inverse = __fdividef(kFixedMost, fmaxf(most, 1e-30f));
  uint2 hi, lo;
  uint32_t sum = fix_four(first, inverse, hi.x, lo.x) + fix_four(second, inverse, hi.y, lo.y);
#pragma unroll
  for (int offset = 4; offset > 0; offset /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, offset);
  if (inside) {
    put(reinterpret_cast<uint2*>(to), hi, neighbour);
    put(reinterpret_cast<uint2*>(to + stride), lo, neighbour);
  }
  return {most * (1 / kFixedMost), -8 * static_cast<int>(sum)};
}

// Reads a lane's part of a piece again until all of the piece is there.
template <bool kMarked>
__device__ __forceinline__ void await(Piece& piece, const float* x, int k_count, const Marks<kMarked>& marks) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int at = piece.number * kStagePiece + lane / 8 * 64 + lane % 8 * 4;
  const bool inside = at < k_count;
  while (!__all_sync(0xffffffffu, !inside || (marks.there(piece.x[0]) && marks.there(piece.x[1])))) {
    if (!inside) continue;
    piece.x[0] = read_again(reinterpret_cast<const float4*>(x + at));
    piece.x[1] = read_again(reinterpret_cast<const float4*>(x + at + 32));
  }
  piece.x[0] = marks.bare(piece.x[0]), piece.x[1] = marks.bare(piece.x[1]);
}

// Copies columns [k_begin, k_begin + k_count) of x into shared memory as fixed point, hi and lo of each row side by side as
// two columns, times the gain of the row's loop. The norm's factor is the same for a whole row, so it comes last: from the
// sums of squares, over a whole row then. Which lane has which columns does not depend on the rows beside. With several
// rows every block would fetch and turn the same 20 KB a row: two neighbours do half of it each, for both. `meanwhile` is done
// while x is on its way.
template <int N, bool kMarked, typename Meanwhile>
__device__ __forceinline__ void stage(const Block& b, const Step& step, const float* x, const Gain& gain, const Marks<kMarked>& marks, const Meanwhile& meanwhile) {
  const int cols = step.cols, k_begin = step.first_k, k_count = step.k_count;
  const int pieces = (k_count + kStagePiece - 1) / kStagePiece;
  const int stride = column_stride(k_count);
  float* squares = piece_squares(b);
  const uint32_t neighbour = to_neighbour<N>(b);
  const int others = neighbour ? 2 * kPassWarps : kPassWarps;  // a pair shares the pieces
  Piece now;
  now.row = 0, now.number = b.warp + (neighbour ? b.member % 2 * kPassWarps : 0) - others;  // none yet
  // One piece ahead: the next is on its way while this one is turned.
#pragma unroll 1
  do {
    Piece next;
    next.row = now.row, next.number = now.number + others;
    for (; next.number >= pieces && next.row < b.p.count; ++next.row) next.number -= pieces;
    const int at = next.number * kStagePiece + b.lane / 8 * 64 + b.lane % 8 * 4;
    next.x[0] = next.x[1] = make_float4(0, 0, 0, 0);
    next.gain[0] = next.gain[1] = make_float4(1, 1, 1, 1);
    if (next.row < b.p.count && at < k_count) {
      const float* from = x + static_cast<std::size_t>(next.row * cols + k_begin + at);
      next.x[0] = kMarked ? read_again(reinterpret_cast<const float4*>(from)) : __ldcg(reinterpret_cast<const float4*>(from));
      next.x[1] = kMarked ? read_again(reinterpret_cast<const float4*>(from + 32)) : __ldcg(reinterpret_cast<const float4*>(from + 32));
      if (gain.data) {
        const float* factor = gain_of(gain, b.loop[next.row]) + k_begin + at;
        next.gain[0] = *reinterpret_cast<const float4*>(factor);
        next.gain[1] = *reinterpret_cast<const float4*>(factor + 32);
      }
    }
    if (now.number < 0) {
      meanwhile();
    } else {
      if (kMarked) await(now, x + k_begin, k_count, marks);
      const int tile = now.number * (kStagePiece / 64) + b.lane / 8;
      const bool inside = tile * 64 < k_count;
      const Fixed fixed = fix_piece(now, b.columns + 2 * now.row * stride + tile * 64 + b.lane % 8 * 8, stride, inside, neighbour);
      if (inside && b.lane % 8 == 0) {
        put(reinterpret_cast<uint2*>(fixed_of(b) + tile * (4 * N) + now.row), make_uint2(__float_as_uint(fixed.unit), static_cast<uint32_t>(fixed.bias)), neighbour);
      }
      if (gain.data) {
        const float whole = warp_sum(square(now.x[0]) + square(now.x[1]));
        if (b.lane == 0) {
          float* at = squares + now.row * pieces + now.number;
          *at = whole;
          if (neighbour) asm volatile("st.shared::cluster.f32 [%0], %1;" ::"r"(shared_address(at) + neighbour), "f"(whole) : "memory");
        }
      }
    }
    now = next;
  } while (now.row < b.p.count);
  b.meet_neighbour<N>();
  // Read behind product(). Warp r has row r.
  if (b.warp < b.p.count) {
    float scale = 1;
    if (gain.data) {
      float sum = 0;
#pragma unroll 1
      for (int i = b.lane; i < pieces; i += 32) sum += squares[b.warp * pieces + i];
      scale = rsqrtf(__fdividef(warp_sum(sum), static_cast<float>(cols)) + b.p.eps);
    }
    if (b.lane == 0) b.row_scale[b.warp] = scale;
  }
}

// Whether a product's results are added to `hidden` by emit(), which then finds what was there in before_of().
__device__ __forceinline__ bool adds(const Block& b, int matrix) { return matrix == 1 || (matrix == 3 && b.p.matrix[3].splits == 1); }

// Asks for what emit() will add to: it is there before the product is done.
__device__ __forceinline__ void ask_before(const Block& b, const Share& s, int outputs, const float* before) {
  const uint32_t to = shared_address(before_of(b));
#pragma unroll 1
  for (int i = b.tid; i < b.p.count * s.rows * 4; i += kPassThreads) {
    int row = 0, at = i;
    for (; at >= s.rows * 4; ++row) at -= s.rows * 4;
    const float* from = before + static_cast<std::size_t>(row) * static_cast<std::size_t>(outputs) + s.first_row * 16 + at * 4;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to + static_cast<uint32_t>(i) * 16), "l"(from) : "memory");
  }
}

// The block's share of one matrix times the staged columns, as sums of every warp's pieces of row tiles. A piece of (warp,
// row tile) has the slot warp + row tile, which no other has.
//
// Of a word of weights, the low nibbles of its bytes are four of row g, the high ones of row g + 8: these stay where they
// are, 16 times too large, until all is summed. 64 * 240 * 32512 is less than 2^31.
template <int N>
__device__ __forceinline__ void product(const Block& b, Ring& ring, int matrix, const float* before) {
  constexpr int kUnroll = N == 1 ? 4 : 2;
  constexpr uint32_t kLow = 0x0f0f0f0fu, kHigh = 0xf0f0f0f0u;
  const Share s = b.parts.share[matrix];
  const int shift = b.p.matrix[matrix].group_shift;
  if (adds(b, matrix)) ask_before(b, s, b.p.matrix[matrix].outputs, before);
  Run run = b.parts.run[matrix][b.warp];
  const int g = b.lane / 4;
  const int t = b.lane % 4;
  const int count = b.p.count;
  // Columns and rows that are not there take the first row's: nobody looks at their sums.
  const unsigned char* column[N];
  const Fixed* fixed[N];
#pragma unroll
  for (int n = 0; n < N; ++n) {
    const int own = n * 8 + g < 2 * count ? n * 8 + g : g % 2;
    column[n] = b.columns + own * column_stride(s.ks * kTileCols) + t * 16;
    fixed[n] = fixed_of(b) + (n * 4 + t < count ? n * 4 + t : 0);
  }
  float total[N][2] = {};
#pragma unroll 1
  while (run.at < run.end) {
    const int tiles = chunk_of(run, s, b.p.chunk);
    const unsigned char* words_at = ring.take();
    const unsigned char* scale_at = words_at + b.p.chunk * 512 + g * 4;
    words_at += b.lane * 16;
    const int in_group = (s.first_k + run.k) & static_cast<int>((1u << shift) - 1);
#pragma unroll kUnroll
    for (int u = 0; u < tiles; ++u) {
      const int k = run.k + u;
      const uint4 words = *reinterpret_cast<const uint4*>(words_at + u * 512);
      const float2 scale = __half22float2(*reinterpret_cast<const __half2*>(scale_at + ((in_group + u) >> shift) * 32));
#pragma unroll
      for (int n = 0; n < N; ++n) {
        const uint4 x = *reinterpret_cast<const uint4*>(column[n] + k * 64);
        const Fixed f = fixed[n][k * (4 * N)];
        int sum[4] = {0, 0, 0, 0};
        mma_u8s8(sum, words.x & kLow, words.x & kHigh, words.z & kLow, words.z & kHigh, x.x, x.y);
        mma_u8s8(sum, words.y & kLow, words.y & kHigh, words.w & kLow, words.w & kHigh, x.z, x.w);
        const int low = sum[0] * 256 + (sum[1] + f.bias);
        const int high = sum[2] * 256 + (sum[3] + f.bias * 16);
        total[n][0] = __fmaf_rn(__int2float_rn(low), __fmul_rn(scale.x, f.unit), total[n][0]);
        total[n][1] = __fmaf_rn(__int2float_rn(high), __fmul_rn(scale.y, f.unit), total[n][1]);
      }
    }
    const int slot = b.warp + run.row;
    advance(run, s, tiles);
    ring.give_back(run.at < run.end);
    if (run.k != 0 && run.at != run.end) continue;
#pragma unroll
    for (int n = 0; n < N; ++n) {
      const int row = n * 4 + t;
      if (row < count) {
        float* at = b.sums + (slot * count + row) * 16 + g;
        at[0] = total[n][0];
        at[8] = total[n][1] * 0.0625f;
      }
      total[n][0] = total[n][1] = 0;
    }
  }
  asm volatile("cp.async.wait_all;" ::: "memory");
  __syncthreads();
}

// y of the share's output row i (of its rows * 16) for a row of the batch, once product() is done.
__device__ __forceinline__ float value(const Block& b, int matrix, int row, int i) {
  const short2 slots = b.parts.slots[matrix][i / 16];
  const float* at = b.sums + (slots.x * b.p.count + row) * 16 + i % 16;
  const int stride = b.p.count * 16;
  float sum = 0;
#pragma unroll 1
  for (int left = slots.y - slots.x + 1; left > 0; left -= 4, at += 4 * stride) {
    float some[4];
#pragma unroll
    for (int j = 0; j < 4; ++j) some[j] = j < left ? at[j * stride] : 0.0f;
#pragma unroll
    for (int j = 0; j < 4; ++j) sum += some[j];
  }
  return __fmul_rn(sum, b.row_scale[row]);  // nothing for the compiler to contract: the same bits in every kernel
}

// out[row][output] = y or, with `add`, += y in rows that take part. All rows at once: a share has few outputs.
// `last_out`: null, or where it goes as well, without a mark.
template <bool kMarked>
__device__ __forceinline__ void emit(const Block& b, int matrix, float* out, bool add, float* last_out, const Marks<kMarked>& marks) {
  const Share s = b.parts.share[matrix];
  const int outputs = b.p.matrix[matrix].outputs;
  const int own = s.rows * kTileRows;
  const float* before = before_of(b);
#pragma unroll 1
  for (int at = b.tid; at < b.p.count * own; at += kPassThreads) {
    const int row = kMarked ? 0 : at / own;
    const int i = at - row * own;
    const int output = s.first_row * kTileRows + i;
    if (output >= outputs || ((add || kMarked) && b.loop[row] == 0)) continue;
    const float result = (add ? marks.before(before[at]) : 0.0f) + value(b, matrix, row, i);
    out[row * outputs + output] = marks.result(result);
    if (kMarked && last_out) last_out[output] = with_bits(result, 0);
  }
}

template <bool kMarked>
__device__ __forceinline__ void emit_swiglu(const Block& b, int matrix, float* out, const Marks<kMarked>& marks) {
  const Share s = b.parts.share[matrix];
  const int half = b.p.matrix[matrix].outputs / 2;
  const int own = s.rows * (kTileRows / 2);
#pragma unroll 1
  for (int at = b.tid; at < b.p.count * own; at += kPassThreads) {
    const int row = kMarked ? 0 : at / own;
    const int i = at - row * own;
    const int output = s.first_row * (kTileRows / 2) + i;
    if (output >= half || (kMarked && b.loop[row] == 0)) continue;
    const float gate = value(b, matrix, row, i / 8 * 16 + i % 8);
    const float up = value(b, matrix, row, i / 8 * 16 + i % 8 + 8);
    out[row * half + output] = marks.result(__fdividef(gate, 1 + __expf(-gate)) * up);
  }
}

#endif

}  // namespace cuda
