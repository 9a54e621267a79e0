// Merges the parts of attention: sum_s e^(m_s - m) o_s / sum_s e^(m_s - m) l_s, and the window by the gate.
#pragma once

#include "cuda/pass_attention.cuh"

namespace cuda {

#if __CUDA_ARCH__ >= 900

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

#endif

}  // namespace cuda
