// What the last block to come adds up: the parts of attention, and the splits of down.
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
  return b.p.parts + static_cast<std::size_t>(line) * static_cast<std::size_t>(part_size<D>(unit.group));
}
// Where its attention goes.
template <int D>
__device__ __forceinline__ float* mixed_of(const Block& b, const Unit& unit, int own) {
  return b.p.mixed + (unit.row[own] * b.p.shape.kv_heads + unit.kv_head) * unit.group * D;
}

// What attend() left in the scratch, added over the tiles of pages: into `mixed` where this is all of the rows' contexts,
// otherwise into their parts.
template <int D>
__device__ __forceinline__ void leave_part(const Block& b, const AttentionScratch<D>& scratch, const Unit& unit) {
  const int group = unit.group;
  const int sums = group * D;
  const int from = unit.part * part_size<D>(group);
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
    *reinterpret_cast<float4*>(to) = make_float4(sum.x * factor, sum.y * factor, sum.z * factor, sum.w * factor);
  }
  if (!whole && b.tid < unit.columns) {
    const Columns<D>& own = scratch.tile[b.tid / kColumnTile];
    const int c = b.tid % kColumnTile;
    const int row = unit.row_of(b.tid);
    float* to = parts_of<D>(b, unit, row) + from + sums + b.tid - row * group;
    to[0] = own.total[c];
    to[group] = own.largest[c];
    to[2 * group] = own.gate[c];
  }
}

// What each part of a column counts for: e^(m_s - m) / sum_s e^(m_s - m) l_s times the gate; the window, which comes last, the
// gate's rest over its own total. A warp a column.
template <int D>
__device__ __forceinline__ void fill_factors(const Block& b, AttentionScratch<D>& scratch, const Unit& unit) {
  const int group = unit.group;
  const bool dual = b.loop[unit.row[0]] >= 2;
  const int global = unit.all_parts - (dual ? 1 : 0);
  const int size = part_size<D>(group);
#pragma unroll 1
  for (int column = b.warp; column < unit.columns; column += kPassWarps) {
    const int row = unit.row_of(column);
    const float* first = parts_of<D>(b, unit, row) + group * D + column - row * group;
    const float* local = first + b.p.splits * size;
    float most[2], total[2], top = kPassNoScore, whole = 0;
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      const int s = b.lane + 32 * j;
      total[j] = s < global ? __ldcg(first + s * size) : 0.0f;
      most[j] = s < global ? __ldcg(first + s * size + group) : kPassNoScore;
    }
    const float gate = dual ? __ldcg(local + 2 * group) : 1.0f;
    const float local_total = dual ? __ldcg(local) : 1.0f;
    top = warp_max(fmaxf(most[0], most[1]));
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      most[j] = exp2f(most[j] - top);
      whole = __fmaf_rn(total[j], most[j], whole);
    }
    const float share = __fdividef(gate, warp_sum(whole));
    float* factor = scratch.tile[column / kColumnTile].factor[column % kColumnTile];
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      const int s = b.lane + 32 * j;
      factor[s] = s < global ? most[j] * share : 0.0f;
    }
    if (b.lane < kMergeFactors - 64) factor[64 + b.lane] = 0;
    __syncwarp();
    if (dual && b.lane == 0) factor[global] = __fdividef(1 - gate, local_total);
  }
}

// mixed = the parts of the unit's rows and kv head, which are all there.
template <int D>
__device__ __forceinline__ void merge(const Block& b, AttentionScratch<D>& scratch, const Unit& unit) {
  const int sums = unit.group * D;
  const int size = part_size<D>(unit.group);
  const bool dual = b.loop[unit.row[0]] >= 2;
  const int global = unit.all_parts - (dual ? 1 : 0);
  const int rest = dual ? b.p.splits : global - 1;  // read for parts that are not there, too, which count for 0
  const int all = unit.columns * D;
  const int i = min(4 * b.tid, all - 4);
  const int column = i / D;
  const int row = unit.row_of(column);
  const float* first = parts_of<D>(b, unit, row) + i - row * sums;
  float4 sum = {0, 0, 0, 0};
#pragma unroll 1
  for (int s = 0; s < unit.all_parts; s += kAddAtOnce) {
    float4 some[kAddAtOnce];
#pragma unroll
    for (int j = 0; j < kAddAtOnce; ++j) some[j] = __ldcg(reinterpret_cast<const float4*>(first + (s + j < global ? s + j : rest) * size));
    if (s == 0) {
      fill_factors(b, scratch, unit);
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
  if (4 * b.tid < all) *reinterpret_cast<float4*>(mixed_of<D>(b, unit, row) + i - row * sums) = sum;
}

// All units of this block, and the merging of those that it ends.
template <int D, int kRounds, typename Element>
__device__ __forceinline__ void attend_all(const Block& b, Pages<D, Element>& pages, const PassLayer& layer) {
  AttentionScratch<D>& scratch = *reinterpret_cast<AttentionScratch<D>*>(b.scratch);
#pragma unroll 1
  for (int i = 0; i < b.unit_count; ++i) {
    const Unit& unit = b.units[i];
    if (i > 0) __syncthreads();  // all are done with the scratch
    attend<D, kRounds, Element>(b, pages, layer, unit);
    leave_part(b, scratch, unit);
    if (unit.all_parts == 1) continue;
    // Rows that share a visit share all of them: the counter is their first's.
    unsigned* counter = b.p.barrier + kPassPartsAt / 4 + (unit.row[0] * b.p.shape.kv_heads + unit.kv_head) * kPassCounterStride;
    if (b.comes_last(counter, unit.all_parts)) merge(b, scratch, unit);
  }
}

// hidden += the splits' partial results of this block's outputs, in their order, by the last of the blocks that have them.
__device__ __forceinline__ void add_splits(const Block& b, int matrix) {
  const PassArguments& p = b.p;
  const PassMatrix& m = p.matrix[matrix];
  const Share s = b.parts.share[matrix];
  if (m.splits == 1 || s.rows == 0) return;
  if (!b.comes_last(p.barrier + kPassRangesAt / 4 + range_of(m, b.member) * kPassCounterStride, m.splits)) return;
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
    const float2 before = __ldcg(reinterpret_cast<const float2*>(p.hidden + at));
    float2 sum = {0, 0};
#pragma unroll 1
    for (int split = 0; split < m.splits; split += kAddAtOnce) {
      float2 some[kAddAtOnce];
#pragma unroll
      for (int j = 0; j < kAddAtOnce; ++j) some[j] = split + j < m.splits ? __ldcg(reinterpret_cast<const float2*>(from + (split + j) * all)) : make_float2(0, 0);
#pragma unroll
      for (int j = 0; j < kAddAtOnce; ++j) sum.x += some[j].x, sum.y += some[j].y;
    }
    *reinterpret_cast<float2*>(p.hidden + at) = make_float2(before.x + sum.x, before.y + sum.y);
  }
}

#endif

}  // namespace cuda
