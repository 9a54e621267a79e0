// The decode product y = norm(x) W^T for up to 16 rows: the kernel, made once for every kind of weights.
//
// Floor: the weights are read once, so bytes(W) / bandwidth. Tensor cores keep the arithmetic out of the way at any row
// count: the weights are the 16 x 16 operand, x fills the columns of the other one. An f32 x enters as hi + lo, two
// columns of bf16, and both sums are added at the end: 16 bits of x for the price of columns that would stay empty.
//
// A block keeps its slice of x (all of K, or a split of it) in shared memory and goes over a range of 16-row tiles. Its
// warps split K; while one tile is multiplied the next one's bytes are on their way in registers. Sums run in an order
// that depends on the matrix and the device only, never on the rows beside.
#pragma once

#include "cuda/device.cuh"
#include "cuda/kv.cuh"
#include "cuda/layout.h"
#include "cuda/linear.h"

namespace cuda {

// How much of a tile a lane loads (in 16 bytes), and how many row tiles a warp takes at once where there are many.
template <Packed P>
struct Kind;
template <>
struct Kind<Packed::int4> {
  static constexpr int loads = 1, tiles = 4;
};
template <>
struct Kind<Packed::int4_zeros> {
  static constexpr int loads = 1, tiles = 4;
};
template <>
struct Kind<Packed::int8> {
  static constexpr int loads = 2, tiles = 2;
};
template <>
struct Kind<Packed::bf16> {
  static constexpr int loads = 4, tiles = 2;
};
template <>
struct Kind<Packed::pair> {
  static constexpr int loads = 8, tiles = 1;
};

template <Packed P>
__host__ __device__ constexpr bool has_scales() {
  return P == Packed::int4 || P == Packed::int4_zeros || P == Packed::int8;
}

// What a lane holds of one tile: its weights, and the scales (and zeros) of its two rows, which must travel with them, or
// every tile would wait for memory once more. Halves: groups of 32, two a tile.
template <Packed P, bool Halves = false>
struct Fragment {
  static constexpr int kGroups = !has_scales<P>() ? 0 : Halves ? 2 : 1;
  uint4 words[Kind<P>::loads];
  float2 scale[P == Packed::int8 ? kGroups : 0];
  __half2 half_scale[P == Packed::int8 ? 0 : kGroups];
  uint32_t zeros[P == Packed::int4_zeros ? kGroups : 0];
};

template <Packed P, bool Halves>
__device__ __forceinline__ void load_tile(Fragment<P, Halves>& out, const unsigned char* tile, int lane) {
#pragma unroll
  for (int i = 0; i < Kind<P>::loads; ++i) out.words[i] = load_weights(tile + i * 512 + lane * 16);
}

// Scales of the group (or, for halves, two groups) from `group` on, in the row tile's run of groups; `count` are there.
template <Packed P, bool Halves>
__device__ __forceinline__ void load_scales(Fragment<P, Halves>& out, const void* scales, const uint32_t* zeros, std::size_t run, int group, int count, int g) {
#pragma unroll
  for (int i = 0; i < Fragment<P, Halves>::kGroups; ++i) {
    const std::size_t pair = (run + static_cast<std::size_t>(min(group + i, count - 1))) * 8 + static_cast<std::size_t>(g);
    if constexpr (P == Packed::int8) {
      out.scale[i] = static_cast<const float2*>(scales)[pair];
    } else {
      out.half_scale[i] = static_cast<const __half2*>(scales)[pair];
      if constexpr (P == Packed::int4_zeros) out.zeros[i] = zeros[pair];
    }
  }
}

__device__ __forceinline__ uint32_t word_of(const uint4& v, int i) { return i == 0 ? v.x : i == 1 ? v.y : i == 2 ? v.z : v.w; }

// The registers of one step. `zeros`: bf16(128 + zero) of rows g and g + 8 (int4 kinds). All subtractions are exact.
template <Packed P, bool Halves>
__device__ __forceinline__ void operand(uint32_t (&a)[4], const Fragment<P, Halves>& fragment, int step, int plane, uint32_t zeros) {
  if constexpr (P == Packed::int4 || P == Packed::int4_zeros) {
    // 0x4300 is bf16 128, whose last mantissa bit counts 1: or-ing a nibble in gives 128 + q.
    const uint32_t word = word_of(fragment.words[0], step);
    const uint32_t low = P == Packed::int4 ? 0x43084308u : __byte_perm(zeros, 0, 0x1010);
    const uint32_t high = P == Packed::int4 ? 0x43084308u : __byte_perm(zeros, 0, 0x3232);
#pragma unroll
    for (int reg = 0; reg < 4; ++reg) a[reg] = subtract_bf16(((word >> (4 * reg)) & 0x000f000fu) | 0x43004300u, reg % 2 ? high : low);
  } else if constexpr (P == Packed::int8) {
    // A byte is its low seven bits minus 128 times its sign: 128 + low, minus 128 or 256.
#pragma unroll
    for (int reg = 0; reg < 4; ++reg) {
      const uint32_t word = word_of(fragment.words[step / 2], step % 2 * 2 + reg / 2) >> (reg % 2 * 8);
      a[reg] = subtract_bf16((word & 0x007f007fu) | 0x43004300u, (word & 0x00800080u) | 0x43004300u);
    }
  } else {
    const uint4& words = fragment.words[plane * 4 + step];
#pragma unroll
    for (int reg = 0; reg < 4; ++reg) a[reg] = word_of(words, reg);
  }
}

// Four of the gain of a row, from column `at` on; ones where there is none.
__device__ __forceinline__ float4 gain_at(const LinearArguments& p, int row, int at, bool vectors) {
  float4 gain = {1, 1, 1, 1};
  if (!p.gain.data || at >= p.cols) return gain;
  const float* from = gain_of(p.gain, p.loop ? p.loop[row] : 1) + at;
  if (vectors) return *reinterpret_cast<const float4*>(from);
  gain.x = from[0];
  if (at + 1 < p.cols) gain.y = from[1];
  if (at + 2 < p.cols) gain.z = from[2];
  if (at + 3 < p.cols) gain.w = from[3];
  return gain;
}

// Copies this block's slice of x into shared memory as columns of bf16 [n][stride], times gain. The norm's factor is the
// same for a whole row, so it may come last: `squares` [row][warp] gets the sums for it, over all of the row.
__device__ __forceinline__ void stage(__nv_bfloat16* columns, int stride, const LinearArguments& p, int k_begin, int k_count, float* squares) {
  constexpr int kRows = 4;  // in flight at once
  const int threads = static_cast<int>(blockDim.x);
  const int tid = static_cast<int>(threadIdx.x);
  const bool vectors = p.cols % 4 == 0;
  const int from = p.gain.data ? 0 : k_begin;
  const int to = p.gain.data ? p.k_tiles * kTileCols : k_begin + k_count;
  for (int first = 0; first < p.rows; first += kRows) {
    float sum[kRows] = {};
    for (int at = from + tid * 4; at < to; at += threads * 4) {
      float4 x[kRows];
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        const float* row = p.x + static_cast<std::size_t>(min(first + r, p.rows - 1)) * p.cols;
        x[r] = make_float4(0, 0, 0, 0);
        if (vectors) {
          if (at < p.cols) x[r] = *reinterpret_cast<const float4*>(row + at);
        } else {
          if (at < p.cols) x[r].x = row[at];
          if (at + 1 < p.cols) x[r].y = row[at + 1];
          if (at + 2 < p.cols) x[r].z = row[at + 2];
        }
        if (!vectors && at + 3 < p.cols) x[r].w = row[at + 3];
      }
      float4 gain = gain_at(p, first, at, vectors);
      const int k = at - k_begin;
      const bool inside = k >= 0 && k < k_count;
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        if (first + r >= p.rows) break;
        if (p.gain.stride > 0 && r > 0) gain = gain_at(p, first + r, at, vectors);
        const float4 v = x[r];
        sum[r] += v.x * v.x + v.y * v.y + v.z * v.z + v.w * v.w;
        if (!inside) continue;
        const float a = v.x * gain.x, b = v.y * gain.y, c = v.z * gain.z, d = v.w * gain.w;
        const uint2 hi = {pack_bf16(a, b), pack_bf16(c, d)};
        const int row = first + r;
        if (p.exact) {
          const uint2 lo = {pack_bf16(a - bf16_low(hi.x), b - bf16_high(hi.x)), pack_bf16(c - bf16_low(hi.y), d - bf16_high(hi.y))};
          *reinterpret_cast<uint2*>(columns + (2 * row) * stride + k) = hi;
          *reinterpret_cast<uint2*>(columns + (2 * row + 1) * stride + k) = lo;
        } else {
          *reinterpret_cast<uint2*>(columns + row * stride + k) = hi;
        }
      }
    }
    if (!p.gain.data) continue;
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const float whole = warp_sum(sum[r]);
      if (tid % 32 == 0 && first + r < p.rows) squares[(first + r) * 16 + tid / 32] = whole;
    }
  }
  __syncthreads();
}

// Hands `tiles` row tiles from `first` to the epilogue; value(row, i) is y of output row first * 16 + i. `before` is what the
// thread's first output held, for Epilogue::add: it was fetched while there was time.
template <typename Value>
__device__ __forceinline__ void emit(const LinearArguments& p, int first, int tiles, float before, const Value& value) {
  const int threads = static_cast<int>(blockDim.x);
  if (p.epilogue == Epilogue::swiglu) {
    const int half = p.outputs / 2;
    for (int i = static_cast<int>(threadIdx.x); i < tiles * 8 * p.rows; i += threads) {
      const int row = i / (tiles * 8);
      const int at = i % (tiles * 8);
      const int out = first * 8 + at;
      if (out >= half) continue;
      const float gate = value(row, at / 8 * 16 + at % 8);
      const float up = value(row, at / 8 * 16 + at % 8 + 8);
      p.out[static_cast<std::size_t>(row) * half + out] = gate / (1 + expf(-gate)) * up;
    }
    return;
  }
  for (int i = static_cast<int>(threadIdx.x); i < tiles * 16 * p.rows; i += threads) {
    const int row = i / (tiles * 16);
    const int at = i % (tiles * 16);
    const int out = first * 16 + at;
    if (out >= p.outputs) continue;
    float* target = p.out + static_cast<std::size_t>(row) * p.outputs + out;
    const float y = value(row, at);
    if (p.epilogue == Epilogue::store) {
      *target = y;
    } else if (!p.loop || p.loop[row] != 0) {
      *target = (i == static_cast<int>(threadIdx.x) ? before : *target) + y;
    }
  }
}

// What the thread's first output of emit() holds.
__device__ __forceinline__ float value_before(const LinearArguments& p, int first, int tiles) {
  const int i = static_cast<int>(threadIdx.x);
  const int out = first * 16 + i % (tiles * 16);
  if (p.epilogue != Epilogue::add || i >= tiles * 16 * p.rows || out >= p.outputs) return 0;
  return p.out[static_cast<std::size_t>(i / (tiles * 16)) * p.outputs + out];
}

// T row tiles a warp at a time, N column tiles of 8. Halves: groups of 32.
template <Packed P, int T, int N, bool Halves>
__global__ __launch_bounds__(512, 1) void linear_kernel(const LinearArguments p) {
  extern __shared__ __align__(16) unsigned char shared[];
  __shared__ float squares[kMaxDecodeRows * 16], row_scale[kMaxDecodeRows];
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int warps = static_cast<int>(blockDim.x) / 32;
  const int split = static_cast<int>(blockIdx.x) % p.splits;
  const int range = static_cast<int>(blockIdx.x) / p.splits;
  const int k_begin = p.k_tiles * split / p.splits;
  const int k_end = p.k_tiles * (split + 1) / p.splits;
  const int row_begin = static_cast<int>(static_cast<long long>(p.row_tiles) * range / p.ranges);
  const int row_end = static_cast<int>(static_cast<long long>(p.row_tiles) * (range + 1) / p.ranges);
  const int own_begin = k_begin + (k_end - k_begin) * warp / warps;
  const int own_end = k_begin + (k_end - k_begin) * (warp + 1) / warps;
  constexpr int kBytes = tile_bytes(P);
  constexpr int kPlanes = P == Packed::pair ? 2 : 1;

  let_next_start();
  const auto tile_at = [&](int row_tile, int k_tile) {
    return p.data + (static_cast<std::size_t>(row_tile) * static_cast<std::size_t>(p.k_tiles) + static_cast<std::size_t>(k_tile)) * kBytes;
  };
  const int g = lane / 4;
  const int t = lane % 4;
  Fragment<P, Halves> next[T];
  const auto load = [&](int row_tile, int k_tile) {
#pragma unroll
    for (int i = 0; i < T; ++i) {
      if (row_tile + i >= row_end) continue;
      load_tile<P, Halves>(next[i], tile_at(row_tile + i, k_tile), lane);
      load_scales<P, Halves>(next[i], p.scales, p.zeros, static_cast<std::size_t>(row_tile + i) * static_cast<std::size_t>(p.groups), Halves ? 2 * k_tile : k_tile >> p.group_shift, p.groups, g);
    }
  };
#pragma unroll
  for (int i = 0; i < T; ++i) next[i] = Fragment<P, Halves>{};
  // Weights do not depend on the kernels before: fetch the first ones while those still run.
  if (own_begin < own_end) load(row_begin, own_begin);
  if (lane == 0) {
    const int ahead = min(row_end - row_begin, p.prefetch_tiles);
    for (int i = warp; i < ahead; i += warps) prefetch_l2(tile_at(row_begin + i, k_begin), static_cast<uint32_t>((k_end - k_begin) * kBytes));
  }
  wait_for_previous();

  // The stride keeps the eight columns that a quarter warp reads in different banks: 64 bytes past a multiple of 128.
  const int stride = (k_end - k_begin) * kTileCols + 32;
  const int used = p.exact ? 2 * p.rows : p.rows;
  __nv_bfloat16* columns = reinterpret_cast<__nv_bfloat16*>(shared);
  float* sums = reinterpret_cast<float*>(shared + p.columns_bytes);
  stage(columns, stride, p, k_begin * kTileCols, (k_end - k_begin) * kTileCols, squares);
  // Read behind the barrier that precedes the first sums.
  if (static_cast<int>(threadIdx.x) < p.rows) {
    float sum = 0;
    for (int w = 0; w < warps && p.gain.data; ++w) sum += squares[threadIdx.x * 16 + static_cast<unsigned>(w)];
    row_scale[threadIdx.x] = p.gain.data ? rsqrtf(sum / static_cast<float>(p.cols) + p.eps) : 1.0f;
  }

  // Columns beyond the used ones repeat the last: their sums are not looked at.
  const __nv_bfloat16* column[N];
#pragma unroll
  for (int n = 0; n < N; ++n) column[n] = columns + min(n * 8 + g, used - 1) * stride + t * 8;

  constexpr int kSumStride = T * 16 + 8;  // of a row; the padding spreads the lanes' stores over the banks
  for (int row_tile = row_begin; row_tile < row_end; row_tile += T) {
    float total[T][N][4] = {};
    const float before = p.splits == 1 ? value_before(p, row_tile, min(T, row_end - row_tile)) : 0.0f;
    for (int k_tile = own_begin; k_tile < own_end; ++k_tile) {
      Fragment<P, Halves> now[T];
#pragma unroll
      for (int i = 0; i < T; ++i) now[i] = next[i];
      // The next tile of this warp, which may belong to the next rows.
      const bool wrap = k_tile + 1 == own_end;
      const int next_row = wrap ? row_tile + T : row_tile;
      if (next_row < row_end) load(next_row, wrap ? own_begin : k_tile + 1);

      uint4 x[N][2];
#pragma unroll
      for (int n = 0; n < N; ++n) {
        const __nv_bfloat16* at = column[n] + (k_tile - k_begin) * kTileCols;
        x[n][0] = *reinterpret_cast<const uint4*>(at);
        x[n][1] = *reinterpret_cast<const uint4*>(at + 32);
      }
#pragma unroll
      for (int i = 0; i < T; ++i) {
        // Row tiles past the range multiply leftovers that nobody reads: cheaper than branches between independent sums.
        if constexpr (!has_scales<P>()) {
#pragma unroll
          for (int plane = 0; plane < kPlanes; ++plane) {
#pragma unroll
            for (int step = 0; step < 4; ++step) {
              uint32_t a[4];
              operand<P, Halves>(a, now[i], step, plane, 0);
#pragma unroll
              for (int n = 0; n < N; ++n) mma_bf16(total[i][n], a, word_of(x[n][step / 2], step % 2 * 2), word_of(x[n][step / 2], step % 2 * 2 + 1));
            }
          }
        } else {
          // Sums of a group are of whole numbers times x; its scales enter once, behind them.
          constexpr int kGroups = Halves ? 2 : 1;
#pragma unroll
          for (int group = 0; group < kGroups; ++group) {
            float2 scale;
            uint32_t zeros = 0;
            if constexpr (P == Packed::int8) {
              scale = now[i].scale[group];
            } else {
              scale = __half22float2(now[i].half_scale[group]);
              if constexpr (P == Packed::int4_zeros) zeros = now[i].zeros[group];
            }
            float sum[N][4] = {};
#pragma unroll
            for (int step = group * 2; step < group * 2 + 4 / kGroups; ++step) {
              uint32_t a[4];
              operand<P, Halves>(a, now[i], step, 0, zeros);
#pragma unroll
              for (int n = 0; n < N; ++n) mma_bf16(sum[n], a, word_of(x[n][step / 2], step % 2 * 2), word_of(x[n][step / 2], step % 2 * 2 + 1));
            }
#pragma unroll
            for (int n = 0; n < N; ++n) {
              total[i][n][0] += sum[n][0] * scale.x;
              total[i][n][1] += sum[n][1] * scale.x;
              total[i][n][2] += sum[n][2] * scale.y;
              total[i][n][3] += sum[n][3] * scale.y;
            }
          }
        }
      }
    }

    // Each warp leaves its share of K as sums[warp][row][T * 16]; then they are added in the order of the warps.
    const auto put = [&](int row, int i, float low, float high) {
      if (row >= p.rows) return;
      float* at = sums + (warp * p.rows + row) * kSumStride + i * 16 + g;
      at[0] = low;
      at[8] = high;
    };
#pragma unroll
    for (int i = 0; i < T; ++i) {
#pragma unroll
      for (int n = 0; n < N; ++n) {
        const float(&d)[4] = total[i][n];
        if (p.exact) {
          put(n * 4 + t, i, d[0] + d[1], d[2] + d[3]);  // hi + lo
        } else {
          put(n * 8 + 2 * t, i, d[0], d[2]);
          put(n * 8 + 2 * t + 1, i, d[1], d[3]);
        }
      }
    }
    __syncthreads();
    const auto value = [&](int row, int at) {
      float sum = 0;
#pragma unroll 4
      for (int w = 0; w < warps; ++w) sum += sums[(w * p.rows + row) * kSumStride + at];
      return sum * row_scale[row];
    };
    const int tiles = min(T, row_end - row_tile);
    if (p.splits == 1) {
      emit(p, row_tile, tiles, before, value);
    } else {
      for (int i = static_cast<int>(threadIdx.x); i < tiles * 16 * p.rows; i += static_cast<int>(blockDim.x)) {
        const int row = i / (tiles * 16);
        const int at = i % (tiles * 16);
        p.partial[(static_cast<std::size_t>(split) * p.rows + row) * (p.row_tiles * 16) + row_tile * 16 + at] = value(row, at);
      }
    }
    __syncthreads();
  }
  if (p.splits == 1) return;

  // The last block of a range adds up the splits, in their order.
  if (!arrived_last(p.counters + range, static_cast<unsigned>(p.splits))) return;
  emit(p, row_begin, row_end - row_begin, value_before(p, row_begin, row_end - row_begin), [&](int row, int at) {
    float sum = 0;
    for (int s = 0; s < p.splits; ++s) {
      sum += __ldcg(p.partial + (static_cast<std::size_t>(s) * p.rows + row) * (p.row_tiles * 16) + row_begin * 16 + at);
    }
    return sum;
  });
}

template <Packed P>
LinearKernel pick_linear(Flavour flavour, int column_tiles) {
  constexpr int T = Kind<P>::tiles;
  constexpr int kWide = T > 2 ? 2 : T;  // registers do for two row tiles beside four column tiles
  const int n = column_tiles <= 1 ? 0 : column_tiles <= 2 ? 1 : 2;
  const LinearKernel many[] = {linear_kernel<P, T, 1, false>, linear_kernel<P, T, 2, false>, linear_kernel<P, kWide, 4, false>};
  const LinearKernel few[] = {linear_kernel<P, 1, 1, false>, linear_kernel<P, 1, 2, false>, linear_kernel<P, 1, 4, false>};
  if constexpr (has_scales<P>()) {
    const LinearKernel halves[] = {linear_kernel<P, 1, 1, true>, linear_kernel<P, 1, 2, true>, linear_kernel<P, 1, 4, true>};
    if (flavour == Flavour::halves) return halves[n];
  }
  return flavour == Flavour::many ? many[n] : few[n];
}

}  // namespace cuda
