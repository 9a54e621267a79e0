// Attention within a loop's one kernel: parts of contexts by whole pages, which copies bring ahead of the queries.
//
// A page of 64 keys is one step: scores by the tensor cores, a warp a tile of 16 keys and 32 dimensions; their softmax, a warp
// a column; and the sums of values, again a warp a tile of 16 keys and 32 dimensions. All heads that share the keys, of all
// rows that share the visit, are columns of one product, so a step of up to eight is some 150 instructions whatever their
// number. More are tiles of eight, for which there are other warps or these again. Queries and softmax weights enter as two
// bf16, hi and lo: 16 bits of each.
//
// A row's numbers do not depend on the rows beside: columns do not mix, keys that a row does not see weigh exactly nothing,
// and a page of which it sees none leaves its sums as they are.
#pragma once

#include "cuda/heads.cuh"
#include "cuda/pass_block.cuh"

namespace cuda {

#if __CUDA_ARCH__ >= 900

constexpr float kPassNoScore = -1e30f;  // finite, so that differences of two of them are 0 and not NaN
constexpr int kPageTiles = kPage / 16;
constexpr int kMergeFactors = 72;  // of a head: parts of KV1 and the window, rounded up to eights

// Memory of a tile of columns. Rows are padded so that the lanes of a load meet different banks. Sums come when queries and
// scores have been read for the last time.
template <int D>
struct Columns {
  struct Scores {
    __nv_bfloat16 query[2][kColumnTile][D + 32];  // hi, lo
    float score[D / 32][kColumnTile][kPage + 4];  // of 32 dimensions each
  };
  union {
    Scores in;
    float out[kPageTiles][kColumnTile][D];  // of a tile of every page each
    float factor[kColumnTile][kMergeFactors];
  };
  __nv_bfloat16 weight[2][kColumnTile][kPage + 8];  // hi, lo
  float shrink[kColumnTile], total[kColumnTile], largest[kColumnTile], gate[kColumnTile];
};

// Memory of attention, behind its pages, where products have theirs between its steps.
template <int D>
struct AttentionScratch {
  unsigned char fresh[kMaxPassRows][2][D * 2];  // new keys and values, as the cache has them
  Columns<D> tile[1];  // and on: as many as a visit needs
};

__device__ __forceinline__ void to_element(__nv_bfloat16& to, float value) { to = __float2bfloat16(value); }
__device__ __forceinline__ void to_element(Fp8& to, float value) { to = Fp8(value); }

// Consecutive elements as pairs of bf16.
__device__ __forceinline__ uint4 eight_pairs(const __nv_bfloat16* at) { return *reinterpret_cast<const uint4*>(at); }
__device__ __forceinline__ uint2 four_pairs(const __nv_bfloat16* at) { return *reinterpret_cast<const uint2*>(at); }
__device__ __forceinline__ uint2 four_pairs(uint32_t word) {
  const float2 low = __half22float2(__half2(__nv_cvt_fp8x2_to_halfraw2(static_cast<__nv_fp8x2_storage_t>(word), __NV_E4M3)));
  const float2 high = __half22float2(__half2(__nv_cvt_fp8x2_to_halfraw2(static_cast<__nv_fp8x2_storage_t>(word >> 16), __NV_E4M3)));
  return {pack_bf16(low.x, low.y), pack_bf16(high.x, high.y)};
}
__device__ __forceinline__ uint2 four_pairs(const Fp8* at) { return four_pairs(*reinterpret_cast<const uint32_t*>(at)); }
__device__ __forceinline__ uint4 eight_pairs(const Fp8* at) {
  const uint2 words = *reinterpret_cast<const uint2*>(at);
  const uint2 low = four_pairs(words.x), high = four_pairs(words.y);
  return {low.x, low.y, high.x, high.y};
}

// Pages of keys and values on their way through shared memory, two at a time, in the order of the block's units. All threads
// hold the same numbers.
template <int D, typename Element>
struct Pages {
  static constexpr uint32_t kBytes = kPage * D * sizeof(Element);  // of a kv head's keys in a page, which lie together
  unsigned char* memory;  // [2][keys, values]
  uint32_t barriers;      // [2]
  uint32_t asked = 0, used = 0;
  int unit = 0, page = 0;  // the next to ask for

  // Asks for the first pages of a layer.
  __device__ __forceinline__ void start(const Block& b, const KvCache& cache) {
    unit = page = 0;
#pragma unroll 1
    for (int i = 0; i < 2; ++i) ask(b, cache);
  }
  __device__ __forceinline__ bool more(const Block& b) const { return unit < b.unit_count; }
  __device__ __forceinline__ void ask(const Block& b, const KvCache& cache) {
    if (!more(b)) return;
    const Unit& u = b.units[unit];
    const uint32_t slot = asked++ % 2;
    // The last warp has no results to write meanwhile.
    if (b.tid == kPassThreads - 32) {
      const std::size_t line = static_cast<std::size_t>(static_cast<unsigned>(u.page_at(page) * b.p.shape.kv_heads + u.kv_head));
      const uint32_t to = shared_address(memory) + slot * 2 * kBytes;
      // The block may have written what lay here before without the copy engine. What it wrote to memory is of other lines:
      // a fence for that as well would wait as long as a meeting.
      asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
      barrier_expect(barriers + slot * 8, 2 * kBytes);
      bulk_copy(to, static_cast<const unsigned char*>(cache.keys) + line * kBytes, kBytes, barriers + slot * 8);
      bulk_copy(to + kBytes, static_cast<const unsigned char*>(cache.values) + line * kBytes, kBytes, barriers + slot * 8);
    }
    if (++page == u.pages) page = 0, ++unit;
  }
  __device__ __forceinline__ Element* take() {
    const uint32_t slot = used % 2;
    while (!barrier_passed(barriers + slot * 8, used / 2 % 2)) {
    }
    ++used;
    return reinterpret_cast<Element*>(memory + slot * 2 * kBytes);
  }
};

// A lane's part of a head, once it is there.
template <int kPairs, bool kMarked>
__device__ __forceinline__ HeadPart<kPairs> head_there(const float* x, int half, int lane, const Marks<kMarked>& marks) {
  if constexpr (!kMarked) {
    return head_part<kPairs>(x, half, lane);
  } else {
    HeadPart<kPairs> head;
    bool there;
    do {
      there = true;
#pragma unroll
      for (int i = 0; i < kPairs; ++i) {
        head.low[i] = read_again(x + lane + 32 * i);
        head.high[i] = read_again(x + lane + 32 * i + half);
        there = there && marks.there(head.low[i]) && marks.there(head.high[i]);
      }
    } while (!__all_sync(0xffffffffu, there));
#pragma unroll
    for (int i = 0; i < kPairs; ++i) head.low[i] = marks.bare(head.low[i]), head.high[i] = marks.bare(head.high[i]);
    return head;
  }
}

// Queries of the unit's columns, and the new keys and values that lie in it, into the scratch; its rows' own also into the
// cache. A warp a head.
template <int D, typename Element, bool kMarked>
__device__ __forceinline__ void finish_heads(const Block& b, AttentionScratch<D>& scratch, const PassLayer& layer, const Unit& unit, const Marks<kMarked>& marks) {
  constexpr int kHalf = D / 2, kPairs = D / 64;
  const PassArguments& p = b.p;
  const int columns = unit.columns;
#pragma unroll 1
  for (int i = b.warp; i < columns + 2 * unit.fresh_count; i += kPassWarps) {
    const bool is_query = i < columns;
    const int which = is_query ? 0 : (i - columns) % 2;  // key or value
    const int fresh = is_query ? 0 : (i - columns) / 2;
    const int own = is_query ? unit.row_of(i) : 0;
    const int row = is_query ? unit.row[own] : unit.fresh[fresh];
    const int head = is_query ? (unit.kv_head - own) * unit.group + i : p.shape.heads + which * p.shape.kv_heads + unit.kv_head;
    const int loop = b.loop[row];
    const bool gated = is_query && unit.part == p.splits;
    const float* gain = which ? nullptr : gain_of(is_query ? layer.q_gain : layer.k_gain, loop);
    const float* bias = layer.qkv_bias ? layer.qkv_bias + head * D : nullptr;
    const float* gate = gated ? gain_of(layer.gate_weight, loop) + head * D + b.lane : nullptr;
    HeadPart<kPairs> weight;
#pragma unroll
    for (int j = 0; j < kPairs; ++j) {
      weight.low[j] = gated ? gate[32 * j] : 0.0f;
      weight.high[j] = gated ? gate[32 * j + kHalf] : 0.0f;
    }
    const float gate_bias = gated ? gain_of(layer.gate_bias, loop)[head] : 0.0f;
    const float* x = p.qkv + static_cast<std::size_t>(row) * static_cast<std::size_t>((p.shape.heads + 2 * p.shape.kv_heads) * D) + head * D;
    const HeadPart<kPairs> part = finish_head<kPairs>([&] { return head_there<kPairs>(x, kHalf, b.lane, marks); }, bias, gain, which ? nullptr : b.turns + row * kHalf, kHalf, p.eps, b.lane);
    if (is_query) {
      float dot = 0;
      Columns<D>& to = scratch.tile[i / kColumnTile];
      __nv_bfloat16* query = to.in.query[0][i % kColumnTile] + b.lane;
      const auto put = [&](int at, float x) {
        const __nv_bfloat16 whole = __float2bfloat16(x);
        query[at] = whole;
        query[at + kColumnTile * (D + 32)] = __float2bfloat16(x - __bfloat162float(whole));
      };
#pragma unroll
      for (int j = 0; j < kPairs; ++j) {
        put(32 * j, part.low[j]);
        put(32 * j + kHalf, part.high[j]);
        dot = __fmaf_rn(part.low[j], weight.low[j], __fmaf_rn(part.high[j], weight.high[j], dot));
      }
      if (gated) {
        dot = warp_sum(dot) + gate_bias;
        if (b.lane == 0) to.gate[i % kColumnTile] = __fdividef(1, 1 + __expf(-dot));
      }
      continue;
    }
    auto* here = reinterpret_cast<Element*>(scratch.fresh[fresh][which]) + b.lane;
    const std::size_t line = kv_offset(b.page[row], b.position[row], unit.kv_head, p.shape);
    Element* cache = static_cast<Element*>(which ? layer.cache.values : layer.cache.keys) + line + b.lane;
#pragma unroll
    for (int j = 0; j < kPairs; ++j) {
      Element low, high;
      to_element(low, part.low[j]);
      to_element(high, part.high[j]);
      here[32 * j] = low, here[32 * j + kHalf] = high;
      if (unit.row_bits >> row & 1) cache[32 * j] = low, cache[32 * j + kHalf] = high;
    }
  }
}

// Puts the new keys and values of page `page` where its copy has what was there before.
template <int D, typename Element>
__device__ __forceinline__ void patch(const Block& b, const AttentionScratch<D>& scratch, const Unit& unit, int page, Element* keys) {
  constexpr int kWords = D * static_cast<int>(sizeof(Element)) / 4;
  bool any = false;
#pragma unroll 1
  for (int i = 0; i < unit.fresh_count; ++i) {
    const int position = b.position[unit.fresh[i]];
    if (position / kPage != page) continue;
    any = true;
    const int which = b.tid / kWords;
    if (which >= 2) continue;
    auto* line = reinterpret_cast<uint32_t*>(keys + (which * kPage + position % kPage) * D);
    line[b.tid % kWords] = reinterpret_cast<const uint32_t*>(scratch.fresh[i][which])[b.tid % kWords];
  }
  if (any) __syncthreads();
}

// An online softmax over a unit, for all its columns. Leaves sums, totals and largest scores in the scratch, not merged over
// the tiles of a page. A warp has up to kRounds tiles of columns.
template <int D, int kRounds, typename Element, bool kMarked>
__device__ __forceinline__ void attend(const Block& b, Pages<D, Element>& pages, const PassLayer& layer, const Unit& unit, const Marks<kMarked>& marks) {
  AttentionScratch<D>& scratch = *reinterpret_cast<AttentionScratch<D>*>(b.scratch);
  finish_heads<D, Element>(b, scratch, layer, unit, marks);
  __syncthreads();

  constexpr float scale = (D == 64 ? 0.125f : 0.0883883476f) * 1.44269504f;  // scores in units of log2
  constexpr int kTeam = kPageTiles * (D / 32);  // warps that have a tile of columns
  constexpr int kTeams = kPassWarps / kTeam;
  constexpr int kTurns = (kTeams * kRounds * kColumnTile + kPassWarps - 1) / kPassWarps;  // columns whose softmax a warp has
  const int g = b.lane / 4;
  const int t = b.lane % 4;
  const int tile = b.warp % kPageTiles;
  const int part = b.warp % kTeam / kPageTiles;  // 32 dimensions
  const int team = b.warp / kTeam;
  const int rounds = (unit.columns - team * kColumnTile + kTeams * kColumnTile - 1) / (kTeams * kColumnTile);
  float out[kRounds][4][4] = {};
  float largest[kTurns], total[kTurns];
  const Span* spans[kTurns];
#pragma unroll
  for (int s = 0; s < kTurns; ++s) largest[s] = kPassNoScore, total[s] = 0, spans[s] = unit.span + min(unit.row_of(b.warp + s * kPassWarps), kMaxPassRows - 1);
#pragma unroll 1
  for (int page = 0; page < unit.pages; ++page) {
    Element* keys = pages.take();
    const Element* values = keys + kPage * D;
    const int at = (unit.first_page + page) * kPage;
    const auto sees = [&](const Span& span, int line) { return static_cast<unsigned>(at + line - span.begin) < static_cast<unsigned>(span.end - span.begin); };
    patch<D, Element>(b, scratch, unit, unit.first_page + page, keys);
    if (rounds > 0) {
      const Element* line = keys + (tile * 16 + g) * D + part * 32 + t * 8;
      const uint4 low = eight_pairs(line), high = eight_pairs(line + 8 * D);
      const uint32_t first[4] = {low.x, high.x, low.y, high.y}, second[4] = {low.z, high.z, low.w, high.w};
#pragma unroll
      for (int r = 0; r < kRounds; ++r) {
        if (r >= rounds) break;
        auto& own = scratch.tile[team + r * kTeams].in;
        // Columns that are not there hold anything, and so do their sums.
        const uint4 hi = eight_pairs(&own.query[0][g][part * 32 + t * 8]), lo = eight_pairs(&own.query[1][g][part * 32 + t * 8]);
        float sum[4] = {};
        mma_bf16(sum, first, hi.x, hi.y);
        mma_bf16(sum, second, hi.z, hi.w);
        mma_bf16(sum, first, lo.x, lo.y);
        mma_bf16(sum, second, lo.z, lo.w);
        float* to = &own.score[part][2 * t][tile * 16 + g];
        to[0] = sum[0];
        to[kPage + 4] = sum[1];
        to[8] = sum[2];
        to[kPage + 12] = sum[3];
      }
    }
    __syncthreads();
#pragma unroll
    for (int s = 0; s < kTurns; ++s) {
      const int column = b.warp + s * kPassWarps;
      if (column >= unit.columns) break;
      Columns<D>& own = scratch.tile[column / kColumnTile];
      const int c = column % kColumnTile;
      const Span span = *spans[s];
      float2 score = {0, 0};
#pragma unroll
      for (int i = 0; i < D / 32; ++i) {
        const float2 some = *reinterpret_cast<const float2*>(&own.in.score[i][c][2 * b.lane]);
        score.x += some.x, score.y += some.y;
      }
      const bool first = sees(span, 2 * b.lane), second = sees(span, 2 * b.lane + 1);
      score.x = first ? __fmul_rn(score.x, scale) : kPassNoScore;
      score.y = second ? __fmul_rn(score.y, scale) : kPassNoScore;
      const float most = fmaxf(largest[s], warp_max(fmaxf(score.x, score.y)));
      const float shrink = exp2f(largest[s] - most);
      largest[s] = most;
      const float x = first ? exp2f(score.x - most) : 0.0f, y = second ? exp2f(score.y - most) : 0.0f;
      total[s] = __fmaf_rn(total[s], shrink, x + y);
      const uint32_t whole = pack_bf16(x, y);
      *reinterpret_cast<uint32_t*>(&own.weight[0][c][2 * b.lane]) = whole;
      *reinterpret_cast<uint32_t*>(&own.weight[1][c][2 * b.lane]) = pack_bf16(x - bf16_low(whole), y - bf16_high(whole));
      if (b.lane == 0) own.shrink[c] = shrink;
    }
    __syncthreads();
    if (rounds > 0) {
      uint2 value[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int key = tile * 16 + 2 * t + i / 2 * 8 + i % 2;
        value[i] = four_pairs(values + key * D + part * 32 + 4 * g);
        // What no row sees may be no number.
        if (!sees(unit.all, key)) value[i] = {0, 0};
      }
#pragma unroll
      for (int r = 0; r < kRounds; ++r) {
        if (r >= rounds) break;
        // Rows g are of a column's hi weights, rows g + 8 of its lo ones; the columns of product j are dimensions j, j + 4, ...
        const Columns<D>& own = scratch.tile[team + r * kTeams];
        const float shrink = own.shrink[g];
        uint32_t weight[4];
#pragma unroll
        for (int i = 0; i < 4; ++i) weight[i] = *reinterpret_cast<const uint32_t*>(&own.weight[i % 2][g][tile * 16 + 2 * t + i / 2 * 8]);
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          const uint32_t pick = j % 2 ? 0x7632 : 0x5410;
          const uint32_t b0 = __byte_perm(j < 2 ? value[0].x : value[0].y, j < 2 ? value[1].x : value[1].y, pick);
          const uint32_t b1 = __byte_perm(j < 2 ? value[2].x : value[2].y, j < 2 ? value[3].x : value[3].y, pick);
#pragma unroll
          for (int i = 0; i < 4; ++i) out[r][j][i] *= shrink;
          mma_bf16(out[r][j], weight, b0, b1);
        }
      }
    }
    if (pages.more(b)) {
      __syncthreads();  // all are done with this page
      pages.ask(b, layer.cache);
    }
  }
#pragma unroll
  for (int r = 0; r < kRounds; ++r) {
    if (r >= rounds) break;
    const float(&sum)[4][4] = out[r];
    float4* to = reinterpret_cast<float4*>(&scratch.tile[team + r * kTeams].out[tile][g][part * 32 + t * 8]);
    to[0] = make_float4(sum[0][0] + sum[0][2], sum[1][0] + sum[1][2], sum[2][0] + sum[2][2], sum[3][0] + sum[3][2]);
    to[1] = make_float4(sum[0][1] + sum[0][3], sum[1][1] + sum[1][3], sum[2][1] + sum[2][3], sum[3][1] + sum[3][3]);
  }
#pragma unroll
  for (int s = 0; s < kTurns; ++s) {
    const int column = b.warp + s * kPassWarps;
    if (column >= unit.columns) break;
    Columns<D>& own = scratch.tile[column / kColumnTile];
    const float whole = warp_sum(total[s]);
    if (b.lane == 0) own.total[column % kColumnTile] = whole, own.largest[column % kColumnTile] = largest[s];
  }
  __syncthreads();
}

#endif

}  // namespace cuda
