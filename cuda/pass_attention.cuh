// Attention within a loop's one kernel: parts of contexts by whole pages, which copies bring ahead of the queries.
#pragma once

#include "cuda/heads.cuh"
#include "cuda/pass_block.cuh"

namespace cuda {

#if __CUDA_ARCH__ >= 900

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

#endif

}  // namespace cuda
