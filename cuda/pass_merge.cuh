// What is made in parts and added up by one block: attention, and the splits of down.
//
// The parts of a (row, kv head): sum_s e^(m_s - m) o_s / sum_s e^(m_s - m) l_s, and the window by the gate. Rows that share
// their visits share this as well.
#pragma once

#include "cuda/pass_attention.cuh"

namespace cuda {

#if __CUDA_ARCH__ >= 900

constexpr int kAddAtOnce = 8;  // parts in flight

// Where the first part of a unit's row lies.
template <int D>
__device__ __forceinline__ float* parts_of(const Block& b, const Unit& unit, int own) {
  const int line = (unit.row[own] * b.p.shape.kv_heads + unit.kv_head) * (b.p.splits + 1);
  return b.p.parts + static_cast<std::size_t>(line) * static_cast<std::size_t>(pass_part(unit.group, D));
}
// Where its attention goes.
template <int D>
__device__ __forceinline__ float* mixed_of(const Block& b, const Unit& unit, int own) {
  return b.p.mixed + (unit.row[own] * b.p.shape.kv_heads + unit.kv_head) * unit.group * D;
}

// What attend() left in the scratch, added over the tiles of pages: into `mixed` where this is all of the rows' contexts,
// otherwise into their parts.
template <int D, bool kMarked>
__device__ __forceinline__ void leave_part(const Block& b, const AttentionScratch<D>& scratch, const Unit& unit, const Marks<kMarked>& marks) {
  const int group = unit.group;
  const int sums = group * D;
  const int from = unit.part * pass_part(group, D);
  const bool whole = unit.all_parts == 1;
  const int i = 4 * b.tid;  // the block has threads for all
  if (i < unit.columns * D) {
    const Columns<D>& own = scratch.tile[i / D / kColumnTile];
    const int c = i / D % kColumnTile;
    const int row = unit.row_of(i / D);
    float4 sum = {0, 0, 0, 0};
#pragma unroll
    for (int tile = 0; tile < kPageTiles; ++tile) {
      const float4 some = *reinterpret_cast<const float4*>(&own.out[tile][c][i % D]);
      sum.x += some.x, sum.y += some.y, sum.z += some.z, sum.w += some.w;
    }
    const float factor = whole ? __fdividef(1, own.total[c]) : 1.0f;
    float* to = (whole ? mixed_of<D>(b, unit, row) : parts_of<D>(b, unit, row) + from) + i - row * sums;
    *reinterpret_cast<float4*>(to) = marks.result(make_float4(sum.x * factor, sum.y * factor, sum.z * factor, sum.w * factor));
  }
  if (!whole && b.tid < unit.columns) {
    const Columns<D>& own = scratch.tile[b.tid / kColumnTile];
    const int c = b.tid % kColumnTile;
    const int row = unit.row_of(b.tid);
    float* to = parts_of<D>(b, unit, row) + from + sums + 4 * (b.tid - row * group);
    *reinterpret_cast<float4*>(to) = marks.result(make_float4(own.total[c], own.largest[c], own.gate[c], 0));
  }
}

// The parts of a row: of KV1 from `first` on, and the window's, the `local`th.
struct PartsAt {
  const float* first;
  int local;
};
// With marks they are in shared memory, where bring_parts() put them.
template <int D, bool kMarked>
__device__ __forceinline__ PartsAt parts_at(const Block& b, const Unit& unit, int own) {
  if (kMarked) return {reinterpret_cast<const float*>(b.columns), unit.all_parts - 1};
  return {parts_of<D>(b, unit, own), b.p.splits};
}
template <bool kMarked, typename Vector>
__device__ __forceinline__ Vector read_part(const float* at) {
  return kMarked ? *reinterpret_cast<const Vector*>(at) : __ldcg(reinterpret_cast<const Vector*>(at));
}

// All parts of a single row, once they are there, to where its pages were.
template <int D, bool kMarked>
__device__ __forceinline__ void bring_parts(const Block& b, const Unit& unit, const Marks<kMarked>& marks) {
  constexpr int kAtOnce = 4;
  const int vectors = pass_part(unit.group, D) / 4;
  const int all = unit.all_parts * vectors;
  const int global = (unit.all_parts - (b.loop[0] >= 2 ? 1 : 0)) * vectors;
  const float4* from = reinterpret_cast<const float4*>(parts_of<D>(b, unit, 0));
  float4* to = reinterpret_cast<float4*>(b.columns);
#pragma unroll 1
  for (int first = b.tid; first < all; first += kAtOnce * kPassThreads) {
    float4 some[kAtOnce];
    bool there;
    do {
      there = true;
#pragma unroll
      for (int j = 0; j < kAtOnce; ++j) {
        const int i = first + j * kPassThreads;
        if (i >= all) continue;
        some[j] = read_again(from + (i < global ? i : i - global + b.p.splits * vectors));
        there = there && marks.there(some[j]);
      }
    } while (!there);
#pragma unroll
    for (int j = 0; j < kAtOnce; ++j) {
      if (first + j * kPassThreads < all) to[first + j * kPassThreads] = marks.bare(some[j]);
    }
  }
  __syncthreads();
}

// What each part of a column counts for: e^(m_s - m) / sum_s e^(m_s - m) l_s times the gate; the window, which comes last, the
// gate's rest over its own total. A warp a column.
template <int D, bool kMarked>
__device__ __forceinline__ void fill_factors(const Block& b, AttentionScratch<D>& scratch, const Unit& unit) {
  const int group = unit.group;
  const bool dual = b.loop[unit.row[0]] >= 2;
  const int global = unit.all_parts - (dual ? 1 : 0);
  const int size = pass_part(group, D);
#pragma unroll 1
  for (int column = b.warp; column < unit.columns; column += kPassWarps) {
    const int row = unit.row_of(column);
    const PartsAt parts = parts_at<D, kMarked>(b, unit, row);
    const float* first = parts.first + group * D + 4 * (column - row * group);
    float2 part[2];  // total, largest score
    float whole = 0;
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      const int s = b.lane + 32 * j;
      part[j] = s < global ? read_part<kMarked, float2>(first + s * size) : make_float2(0, kPassNoScore);
    }
    const float4 local = dual ? read_part<kMarked, float4>(first + parts.local * size) : make_float4(1, 0, 1, 0);  // total, largest score, gate
    const float top = warp_max(fmaxf(part[0].y, part[1].y));
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      part[j].y = exp2f(part[j].y - top);
      whole = __fmaf_rn(part[j].x, part[j].y, whole);
    }
    const float share = __fdividef(local.z, warp_sum(whole));
    float* factor = scratch.tile[column / kColumnTile].factor[column % kColumnTile];
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      const int s = b.lane + 32 * j;
      factor[s] = s < global ? part[j].y * share : 0.0f;
    }
    if (b.lane < kMergeFactors - 64) factor[64 + b.lane] = 0;
    __syncwarp();
    if (dual && b.lane == 0) factor[global] = __fdividef(1 - local.z, local.x);
  }
}

// mixed = the parts of the unit's rows and kv head, which are all there.
template <int D, bool kMarked>
__device__ __forceinline__ void merge(const Block& b, AttentionScratch<D>& scratch, const Unit& unit, const Marks<kMarked>& marks) {
  const int sums = unit.group * D;
  const int size = pass_part(unit.group, D);
  const bool dual = b.loop[unit.row[0]] >= 2;
  const int global = unit.all_parts - (dual ? 1 : 0);
  const int all = unit.columns * D;
  const int i = min(4 * b.tid, all - 4);
  const int column = i / D;
  const int row = unit.row_of(column);
  const PartsAt parts = parts_at<D, kMarked>(b, unit, row);
  const int rest = dual ? parts.local : global - 1;  // read for parts that are not there, too, which count for 0
  const float* first = parts.first + i - row * sums;
  float4 sum = {0, 0, 0, 0};
#pragma unroll 1
  for (int s = 0; s < unit.all_parts; s += kAddAtOnce) {
    float4 some[kAddAtOnce];
#pragma unroll
    for (int j = 0; j < kAddAtOnce; ++j) some[j] = read_part<kMarked, float4>(first + (s + j < global ? s + j : rest) * size);
    if (s == 0) {
      fill_factors<D, kMarked>(b, scratch, unit);
      __syncthreads();
    }
    if (4 * b.tid >= all) continue;
    const float* factor = scratch.tile[column / kColumnTile].factor[column % kColumnTile] + s;
#pragma unroll
    for (int j = 0; j < kAddAtOnce; ++j) {
      sum.x = __fmaf_rn(factor[j], some[j].x, sum.x), sum.y = __fmaf_rn(factor[j], some[j].y, sum.y);
      sum.z = __fmaf_rn(factor[j], some[j].z, sum.z), sum.w = __fmaf_rn(factor[j], some[j].w, sum.w);
    }
  }
  if (4 * b.tid < all) *reinterpret_cast<float4*>(mixed_of<D>(b, unit, row) + i - row * sums) = marks.result(sum);
}

// Whether this block adds up a unit's parts, which are then all there.
template <int D, bool kMarked>
__device__ __forceinline__ bool adds_parts(const Block& b, const Unit& unit, const Marks<kMarked>& marks) {
  if (unit.all_parts == 1) return false;
  if (!kMarked) {
    // Rows that share a visit share all of them: the counter is their first's.
    unsigned* counter = b.p.barrier + kPassPartsAt / 4 + (unit.row[0] * b.p.shape.kv_heads + unit.kv_head) * kPassCounterStride;
    return b.comes_last(counter, unit.all_parts);
  }
  // The window has one page more than others.
  if (unit.part != (b.loop[0] >= 2 ? b.p.splits : unit.all_parts - 1)) return false;
  bring_parts<D>(b, unit, marks);
  return true;
}

// All units of this block, and the merging of those that it ends. A single row has at most one.
template <int D, int kRounds, typename Element, bool kMarked>
__device__ __forceinline__ void attend_all(const Block& b, Pages<D, Element>& pages, const PassLayer& layer, const Marks<kMarked>& marks) {
  AttentionScratch<D>& scratch = *reinterpret_cast<AttentionScratch<D>*>(b.scratch);
#pragma unroll 1
  for (int i = 0; i < b.unit_count; ++i) {
    const Unit& unit = b.units[i];
    if (i > 0) __syncthreads();  // all are done with the scratch
    attend<D, kRounds, Element>(b, pages, layer, unit, marks);
    leave_part(b, scratch, unit, marks);
    if (adds_parts<D>(b, unit, marks)) merge(b, scratch, unit, marks);
  }
  if (kMarked && b.idle_part >= 0) {
    const int part = pass_part(b.p.shape.heads / b.p.shape.kv_heads, D);
    if (4 * b.tid < part) *reinterpret_cast<float4*>(b.p.parts + b.idle_part * part + 4 * b.tid) = marks.result(make_float4(0, 0, 0, 0));
  }
}

// hidden += the splits' partial results of this block's outputs, in their order: by the last of the blocks that have them or,
// with marks, by the first split's, as they come.
template <bool kMarked>
__device__ __forceinline__ void add_splits(const Block& b, int matrix, const float* before_at, float* out, float* last_out, const Marks<kMarked>& marks) {
  const PassArguments& p = b.p;
  const PassMatrix& m = p.matrix[matrix];
  const Share s = b.parts.share[matrix];
  if (m.splits == 1 || s.rows == 0) return;
  if (kMarked ? split_of(m, b.member) != 0 : !b.comes_last(p.barrier + kPassRangesAt / 4 + range_of(m, b.member) * kPassCounterStride, m.splits)) return;
  const int first = s.first_row * kTileRows;
  const int pairs = min(s.rows * kTileRows, p.width - first) / 2;
  const int all = p.count * p.width;
  const int shift = 32 - __clz(pairs - 1);  // threads a row, a power of two
  const int pair = b.tid & ((1 << shift) - 1);
#pragma unroll 1
  for (int row = b.tid >> shift; row < p.count; row += kPassThreads >> shift) {
    if (pair >= pairs || b.loop[row] == 0) continue;
    const int at = row * p.width + first + pair * 2;
    const float* from = p.partial + at;
    const float2 before = __ldcg(reinterpret_cast<const float2*>(before_at + at));
    float2 sum = {0, 0};
#pragma unroll 1
    for (int split = 0; split < m.splits; split += kAddAtOnce) {
      float2 some[kAddAtOnce];
      bool there;
      do {
        there = true;
#pragma unroll
        for (int j = 0; j < kAddAtOnce; ++j) {
          some[j] = make_float2(0, 0);
          if (split + j >= m.splits) continue;
          const float2* own = reinterpret_cast<const float2*>(from + (split + j) * all);
          some[j] = kMarked ? read_again(own) : __ldcg(own);
          there = there && marks.there(some[j].x) && marks.there(some[j].y);
        }
      } while (!there);
#pragma unroll
      for (int j = 0; j < kAddAtOnce; ++j) sum.x += marks.bare(some[j].x), sum.y += marks.bare(some[j].y);
    }
    const float2 result = {marks.before(before.x) + sum.x, marks.before(before.y) + sum.y};
    *reinterpret_cast<float2*>(out + at) = make_float2(marks.result(result.x), marks.result(result.y));
    if (kMarked && last_out) *reinterpret_cast<float2*>(last_out + at) = make_float2(with_bits(result.x, 0), with_bits(result.y, 0));
  }
}

#endif

}  // namespace cuda
