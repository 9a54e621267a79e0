// Decode attention: one query row a block row, the context shared among blocks, both attentions of loops >= 2 in one go.
//
// Floor: keys and values of the context are read once for each row, 2 * kv_width * length * bytes / bandwidth. The blocks
// (split, kv head, row) each make an online softmax of their keys for all query heads that share the kv head; one block
// more a (kv head, row) does the window of loops >= 2. The last to arrive merges: sum_s e^(m_s - m) o_s / sum_s
// e^(m_s - m) l_s, and mixes by the gate. How a context is split depends on its length and `splits` only.
#pragma once

#include <cooperative_groups.h>

#include "cuda/attention.h"
#include "cuda/kv.cuh"

namespace cuda {

constexpr int kAttentionWarps = 4;
constexpr int kAtOnce = 4;  // keys a lane has in flight
constexpr int kMaxSplits = 64;
constexpr float kNoScore = -1e30f;  // finite, so that differences of two of them are 0 and not NaN

// G query heads share a kv head; D is head_dim rounded up to 64 or 128. A key lies over D / 8 lanes, 8 elements each.
template <typename Element, int G, int D>
__global__ __launch_bounds__(kAttentionWarps * 32) void attention_kernel(const AttentionArguments p) {
  constexpr int kLanes = D / 8;
  constexpr int kKeys = 32 / kLanes;  // keys a warp reads with one load
  __shared__ float warp_largest[kAttentionWarps][G], warp_total[kAttentionWarps][G], warp_out[kAttentionWarps][G][D];
  __shared__ float block_largest[G], block_total[G];
  __shared__ float gates[G], part_largest[kMaxSplits + 1][G], part_factor[kMaxSplits + 1][G];
  let_next_start();
  wait_for_previous();

  const int split = static_cast<int>(blockIdx.x);
  const int kv_head = static_cast<int>(blockIdx.y);
  const int row = static_cast<int>(blockIdx.z);
  // All of the row's numbers at once: every trip to memory here is one that all else waits for.
  const int loop = p.rows.loop[row];
  const int position = p.rows.position[row];
  const int first_table = p.rows.table[row];
  const int oldest = p.rows.first ? p.rows.first[row] : 0;
  if (loop == 0) return;
  const bool dual = loop >= 2;
  const int pages = position / kPage + 1;
  const int pages_a_split = (pages + p.splits - 1) / p.splits;
  const int busy = (pages + pages_a_split - 1) / pages_a_split;
  const bool local = split == p.splits;
  if (local ? !dual : split >= busy) return;  // the others of a cluster do not wait for those that left
  int begin = split * pages_a_split * kPage;
  int end = min(position + 1, begin + pages_a_split * kPage);
  if (local) {
    begin = max(max(0, position + 1 - p.window), oldest);
    end = position + 1;
  }
  const int* table = p.rows.pages + static_cast<std::size_t>(first_table + (local ? loop - 1 : 0)) * static_cast<std::size_t>(p.rows.table_stride);
  const auto* keys = static_cast<const Element*>(p.keys);
  const auto* values = static_cast<const Element*>(p.values);

  const int tid = static_cast<int>(threadIdx.x);
  const int warp = tid / 32;
  const int lane = tid % 32;
  const int slot = lane / kLanes;
  const int dim = lane % kLanes * 8;
  const bool real = dim < p.shape.head_dim;
  const int qkv_width = (p.shape.heads + 2 * p.shape.kv_heads) * p.shape.head_dim;
  const float* queries = p.qkv + static_cast<std::size_t>(row) * qkv_width + static_cast<std::size_t>(kv_head) * G * p.shape.head_dim;
  const float scale = rsqrtf(static_cast<float>(p.shape.head_dim)) * 1.44269504f;  // scores in units of log2

  float q[G][8], out[G][8], largest[G], total[G];
#pragma unroll
  for (int g = 0; g < G; ++g) {
    largest[g] = kNoScore;
    total[g] = 0;
    float4 low = {0, 0, 0, 0}, high = {0, 0, 0, 0};
    if (real) {
      low = *reinterpret_cast<const float4*>(queries + g * p.shape.head_dim + dim);
      high = *reinterpret_cast<const float4*>(queries + g * p.shape.head_dim + dim + 4);
    }
    // Not scaled here: the first keys should be on their way before the queries are there.
    q[g][0] = low.x, q[g][1] = low.y, q[g][2] = low.z, q[g][3] = low.w;
    q[g][4] = high.x, q[g][5] = high.y, q[g][6] = high.z, q[g][7] = high.w;
#pragma unroll
    for (int i = 0; i < 8; ++i) out[g][i] = 0;
  }

  for (int base = begin; base < end; base += kAttentionWarps * kKeys * kAtOnce) {
    decltype(load_eight(keys)) key[kAtOnce]{}, value[kAtOnce]{};
    bool seen[kAtOnce];
#pragma unroll
    for (int u = 0; u < kAtOnce; ++u) {
      const int at = base + (u * kAttentionWarps + warp) * kKeys + slot;
      seen[u] = at < end;
      if (seen[u] && real) {
        const std::size_t from = kv_offset(table[at / kPage], at, kv_head, p.shape) + static_cast<std::size_t>(dim);
        key[u] = load_eight(keys + from);
        value[u] = load_eight(values + from);
      }
    }
    float score[kAtOnce][G];
#pragma unroll
    for (int u = 0; u < kAtOnce; ++u) {
      float k[8];
      unpack_eight(k, key[u]);
#pragma unroll
      for (int g = 0; g < G; ++g) {
        float sum = 0;
#pragma unroll
        for (int i = 0; i < 8; ++i) sum += q[g][i] * k[i];
#pragma unroll
        for (int offset = kLanes / 2; offset > 0; offset /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, offset);
        score[u][g] = seen[u] ? sum * scale : kNoScore;
      }
    }
#pragma unroll
    for (int g = 0; g < G; ++g) {
      float most = largest[g];
#pragma unroll
      for (int u = 0; u < kAtOnce; ++u) most = fmaxf(most, score[u][g]);
      const float shrink = exp2f(largest[g] - most);
      largest[g] = most;
      total[g] *= shrink;
#pragma unroll
      for (int i = 0; i < 8; ++i) out[g][i] *= shrink;
    }
#pragma unroll
    for (int u = 0; u < kAtOnce; ++u) {
      float v[8];
      unpack_eight(v, value[u]);
#pragma unroll
      for (int g = 0; g < G; ++g) {
        const float weight = seen[u] ? exp2f(score[u][g] - largest[g]) : 0.0f;
        total[g] += weight;
#pragma unroll
        for (int i = 0; i < 8; ++i) out[g][i] += weight * v[i];
      }
    }
  }

  // The warp's key slots, then the block's warps.
#pragma unroll
  for (int g = 0; g < G; ++g) {
    float most = largest[g];
#pragma unroll
    for (int offset = kLanes; offset < 32; offset *= 2) most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, offset));
    const float shrink = exp2f(largest[g] - most);
    total[g] *= shrink;
#pragma unroll
    for (int i = 0; i < 8; ++i) out[g][i] *= shrink;
#pragma unroll
    for (int offset = kLanes; offset < 32; offset *= 2) {
      total[g] += __shfl_xor_sync(0xffffffffu, total[g], offset);
#pragma unroll
      for (int i = 0; i < 8; ++i) out[g][i] += __shfl_xor_sync(0xffffffffu, out[g][i], offset);
    }
    if (slot == 0) {
#pragma unroll
      for (int i = 0; i < 8; ++i) warp_out[warp][g][dim + i] = out[g][i];
      if (lane == 0) {
        warp_largest[warp][g] = most;
        warp_total[warp][g] = total[g];
      }
    }
  }
  __syncthreads();
  // A part: [G][head_dim] sums, then [G] largest scores, then [G] totals.
  const int width = G * p.shape.head_dim;
  const int part_size = width + 2 * G;
  float* parts = p.parts + static_cast<std::size_t>(row * p.shape.kv_heads + kv_head) * static_cast<std::size_t>(p.splits + 1) * part_size;
  float* part = parts + static_cast<std::size_t>(split) * part_size;
  float* result = p.out + static_cast<std::size_t>(row) * p.shape.heads * p.shape.head_dim + static_cast<std::size_t>(kv_head) * width;
  const bool only = busy == 1 && !dual;  // nobody to merge with
  for (int i = tid; i < width + G; i += kAttentionWarps * 32) {
    const bool sums = i < width;
    const int g = sums ? i / p.shape.head_dim : i - width;
    float most = kNoScore;
    for (int w = 0; w < kAttentionWarps; ++w) most = fmaxf(most, warp_largest[w][g]);
    float sum = 0;
    float weights = 0;
    for (int w = 0; w < kAttentionWarps; ++w) {
      const float factor = exp2f(warp_largest[w][g] - most);
      sum += factor * (sums ? warp_out[w][g][i % p.shape.head_dim] : warp_total[w][g]);
      weights += factor * warp_total[w][g];
    }
    if (only) {
      if (sums) result[i] = sum / weights;
    } else if (p.clustered) {
      // The others read it here, out of this block's shared memory. Nobody else reads this element of the first warp's.
      if (sums) {
        warp_out[0][g][i % p.shape.head_dim] = sum;
      } else {
        block_largest[g] = most;
        block_total[g] = sum;
      }
    } else if (sums) {
      part[i] = sum;
    } else {
      part[width + g] = most;
      part[width + G + g] = sum;
    }
  }

  if (only) return;
  // Merging: by the last block to arrive, through memory; or in a cluster by its first block, which always has keys.
#if __CUDA_ARCH__ >= 900
  const auto cluster = cooperative_groups::this_cluster();
  if (p.clustered) {
    cluster.sync();
    if (split != 0) {
      cluster.sync();  // its shared memory must outlive the merge
      return;
    }
  }
#endif
  if (!p.clustered && !arrived_last(p.counters + row * p.shape.kv_heads + kv_head, static_cast<unsigned>(busy + (dual ? 1 : 0)))) return;
  // All parts' scores and totals at once, then their factors; the window's part comes last.
  for (int i = tid; i < (p.splits + 1) * G; i += kAttentionWarps * 32) {
    const int s = i / G;
    const int g = i % G;
    const bool there = s < busy || (s == p.splits && dual);
    float most = kNoScore, sum = 0;
#if __CUDA_ARCH__ >= 900
    if (there && p.clustered) {
      most = *cluster.map_shared_rank(&block_largest[g], static_cast<unsigned>(s));
      sum = *cluster.map_shared_rank(&block_total[g], static_cast<unsigned>(s));
    }
#endif
    if (there && !p.clustered) {
      const float* from = parts + static_cast<std::size_t>(s) * part_size + width + g;
      most = __ldcg(from);
      sum = __ldcg(from + G);
    }
    part_largest[s][g] = most;
    part_factor[s][g] = sum;
  }
  for (int g = warp; g < G && dual; g += kAttentionWarps) {
    const int head = kv_head * G + g;
    const float* weight = gain_of(p.gate_weight, loop) + head * p.shape.head_dim;
    float dot = 0;
    for (int i = lane; i < p.shape.head_dim; i += 32) dot += queries[g * p.shape.head_dim + i] * weight[i];
    dot = warp_sum(dot) + gain_of(p.gate_bias, loop)[head];
    if (lane == 0) gates[g] = 1 / (1 + expf(-dot));
  }
  __syncthreads();
  if (tid < G) {
    float most = kNoScore, weights = 0;
    for (int s = 0; s < busy; ++s) most = fmaxf(most, part_largest[s][tid]);
    for (int s = 0; s < busy; ++s) weights += exp2f(part_largest[s][tid] - most) * part_factor[s][tid];
    const float share = (dual ? gates[tid] : 1.0f) / weights;
    const float local_total = part_factor[p.splits][tid];
    for (int s = 0; s < busy; ++s) part_factor[s][tid] = exp2f(part_largest[s][tid] - most) * share;
    if (dual) part_factor[busy][tid] = (1 - gates[tid]) / local_total;
  }
  __syncthreads();
  const int there = busy + (dual ? 1 : 0);
  for (int i = tid; i < width; i += kAttentionWarps * 32) {
    const int g = i / p.shape.head_dim;
    float sum = 0;
#pragma unroll 8
    for (int s = 0; s < there; ++s) {
      const int from = s < busy ? s : p.splits;
      float value;
#if __CUDA_ARCH__ >= 900
      if (p.clustered) {
        value = *cluster.map_shared_rank(&warp_out[0][g][i % p.shape.head_dim], static_cast<unsigned>(from));
      } else
#endif
      {
        value = __ldcg(parts + static_cast<std::size_t>(from) * part_size + i);
      }
      sum += part_factor[s][g] * value;
    }
    result[i] = sum;
  }
#if __CUDA_ARCH__ >= 900
  if (p.clustered) cluster.sync();
#endif
}

template <typename Element, int D>
AttentionKernel pick_by_group(int group) {
  switch (group) {
    case 1: return attention_kernel<Element, 1, D>;
    case 2: return attention_kernel<Element, 2, D>;
    case 3: return attention_kernel<Element, 3, D>;
    case 4: return attention_kernel<Element, 4, D>;
    case 5: return attention_kernel<Element, 5, D>;
    case 6: return attention_kernel<Element, 6, D>;
    case 7: return attention_kernel<Element, 7, D>;
    case 8: return attention_kernel<Element, 8, D>;
    default: return nullptr;
  }
}

template <typename Element>
AttentionKernel pick_attention(int group, int head_dim) {
  return head_dim <= 64 ? pick_by_group<Element, 64>(group) : pick_by_group<Element, 128>(group);
}

}  // namespace cuda
