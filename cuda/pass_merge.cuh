// What the last block to come adds up: the parts of attention, and the splits of down.
//
// The parts of a (row, kv head): sum_s e^(m_s - m) o_s / sum_s e^(m_s - m) l_s, and the window by the gate.
#pragma once

#include "cuda/pass_attention.cuh"

namespace cuda {

#if __CUDA_ARCH__ >= 900

constexpr int kAddAtOnce = 8;  // parts in flight

// What attend() left in the scratch, added over the tiles of pages: into `mixed` where this is all of the (row, kv head),
// otherwise into its part.
template <int D>
__device__ __forceinline__ void leave_part(const Block& b, const AttentionScratch<D>& scratch, const Unit& unit) {
  const int group = unit.group;
  const int i = 2 * b.tid;  // a group has at most as many pairs as the block threads
  const int sums = group * D;
  const bool whole = unit.all_parts == 1;
  float* to = whole ? unit.mixed : unit.parts + unit.part * part_size<D>(group);
  if (i < sums) {
    const int h = i / D;
    float2 sum = {0, 0};
#pragma unroll
    for (int tile = 0; tile < kPageTiles; ++tile) {
      const float2 some = *reinterpret_cast<const float2*>(&scratch.out[tile][h][i % D]);
      sum.x += some.x, sum.y += some.y;
    }
    const float factor = whole ? __fdividef(1, scratch.total[h]) : 1.0f;
    *reinterpret_cast<float2*>(to + i) = make_float2(sum.x * factor, sum.y * factor);
  }
  if (!whole && b.tid < group) {
    to[sums + b.tid] = scratch.total[b.tid];
    to[sums + group + b.tid] = scratch.largest[b.tid];
    to[sums + 2 * group + b.tid] = scratch.gate[b.tid];
  }
}

// What each part of the (row, head) of a warp counts for: e^(m_s - m) / sum_s e^(m_s - m) l_s times the gate; the window, which
// comes last, the gate's rest over its own total.
template <int D>
__device__ __forceinline__ void fill_factors(const Block& b, AttentionScratch<D>& scratch, const Unit& unit) {
  const int group = unit.group;
  if (b.warp >= group) return;
  const bool dual = b.loop[unit.row] >= 2;
  const int global = unit.all_parts - (dual ? 1 : 0);
  const int size = part_size<D>(group);
  const float* first = unit.parts + group * D + b.warp;
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
  float* factor = scratch.factor[b.warp];
#pragma unroll
  for (int j = 0; j < 2; ++j) {
    const int s = b.lane + 32 * j;
    factor[s] = s < global ? most[j] * share : 0.0f;
  }
  if (b.lane < kMergeFactors - 64) factor[64 + b.lane] = 0;
  __syncwarp();
  if (dual && b.lane == 0) factor[global] = __fdividef(1 - gate, local_total);
}

// mixed = the parts of the unit's (row, kv head), which are all there.
template <int D>
__device__ __forceinline__ void merge(const Block& b, AttentionScratch<D>& scratch, const Unit& unit) {
  const int sums = unit.group * D;
  const int size = part_size<D>(unit.group);
  const bool dual = b.loop[unit.row] >= 2;
  const int global = unit.all_parts - (dual ? 1 : 0);
  const int rest = dual ? b.p.splits : global - 1;  // read for parts that are not there, too, which count for 0
  const int i = 2 * b.tid;
  const float* first = unit.parts + min(i, sums - 2);
  float2 sum = {0, 0};
#pragma unroll 1
  for (int s = 0; s < unit.all_parts; s += kAddAtOnce) {
    float2 some[kAddAtOnce];
#pragma unroll
    for (int j = 0; j < kAddAtOnce; ++j) some[j] = __ldcg(reinterpret_cast<const float2*>(first + (s + j < global ? s + j : rest) * size));
    if (s == 0) {
      fill_factors(b, scratch, unit);
      __syncthreads();
    }
    if (i >= sums) continue;
    const float* factor = scratch.factor[i / D] + s;
#pragma unroll
    for (int j = 0; j < kAddAtOnce; ++j) sum.x = __fmaf_rn(factor[j], some[j].x, sum.x), sum.y = __fmaf_rn(factor[j], some[j].y, sum.y);
  }
  if (i < sums) *reinterpret_cast<float2*>(unit.mixed + i) = sum;
}

// All units of this block, and the merging of those that it ends.
template <int D, typename Element>
__device__ __forceinline__ void attend_all(const Block& b, Pages<D, Element>& pages, const PassLayer& layer) {
  AttentionScratch<D>& scratch = *reinterpret_cast<AttentionScratch<D>*>(b.columns);
#pragma unroll 1
  for (int i = 0; i < b.unit_count; ++i) {
    const Unit& unit = b.units[i];
    if (i > 0) __syncthreads();  // all are done with the scratch
    attend<D, Element>(b, pages, layer, unit);
    leave_part(b, scratch, unit);
    if (unit.all_parts == 1) continue;
    unsigned* counter = b.p.barrier + kPassPartsAt / 4 + (unit.row * b.p.shape.kv_heads + unit.kv_head) * kPassCounterStride;
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
