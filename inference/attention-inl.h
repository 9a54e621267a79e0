// Softmax attention over keys stored in blocks of 16 positions, four query heads at a time.
#if defined(LOOPD_ATTENTION_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOOPD_ATTENTION_INL_H_
#undef LOOPD_ATTENTION_INL_H_
#else
#define LOOPD_ATTENTION_INL_H_
#endif

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include "inference/ops.h"
#include "inference/simd_basics-inl.h"

HWY_BEFORE_NAMESPACE();
namespace inference::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Query heads that share a pass over the keys: what fits the registers beside a row of keys.
constexpr std::size_t kHeadTile = 4;

// Up to one position block of floats in a vector.
using Block = hn::CappedTag<float, kKeyBlock>;

// scores[head][0..15] = scale * query[head] . key, for the positions of one block; `keys` is [dim][16].
inline void score_block(float* const scores[kHeadTile], const float* const queries[kHeadTile], const float* keys, std::size_t dim, float scale) {
  const Block d;
  const auto factor = hn::Set(d, scale);
  for (std::size_t lane = 0; lane < kKeyBlock; lane += hn::Lanes(d)) {
    auto sum0 = hn::Zero(d), sum1 = sum0, sum2 = sum0, sum3 = sum0;
    for (std::size_t i = 0; i < dim; ++i) {
      const auto key = hn::LoadU(d, keys + i * kKeyBlock + lane);
      sum0 = hn::MulAdd(hn::Set(d, queries[0][i]), key, sum0);
      sum1 = hn::MulAdd(hn::Set(d, queries[1][i]), key, sum1);
      sum2 = hn::MulAdd(hn::Set(d, queries[2][i]), key, sum2);
      sum3 = hn::MulAdd(hn::Set(d, queries[3][i]), key, sum3);
    }
    hn::StoreU(hn::Mul(sum0, factor), d, scores[0] + lane);
    hn::StoreU(hn::Mul(sum1, factor), d, scores[1] + lane);
    hn::StoreU(hn::Mul(sum2, factor), d, scores[2] + lane);
    hn::StoreU(hn::Mul(sum3, factor), d, scores[3] + lane);
  }
}

// out[head][i .. i + lanes) = sum over positions of weight[head][position] * value[position][i ..].
template <class D>
void weigh_values(D d, float* const out[kHeadTile], const float* const weights[kHeadTile], const float* const inverse_sums,
                  const KvView& kv, std::size_t width, std::size_t begin, std::size_t count, std::size_t offset, std::size_t i) {
  auto sum0 = hn::Zero(d), sum1 = sum0, sum2 = sum0, sum3 = sum0;
  std::size_t slot = begin % kv.capacity;
  for (std::size_t s = 0; s < count; ++s) {
    const auto value = hn::LoadU(d, kv.values + slot * width + offset + i);
    sum0 = hn::MulAdd(hn::Set(d, weights[0][s]), value, sum0);
    sum1 = hn::MulAdd(hn::Set(d, weights[1][s]), value, sum1);
    sum2 = hn::MulAdd(hn::Set(d, weights[2][s]), value, sum2);
    sum3 = hn::MulAdd(hn::Set(d, weights[3][s]), value, sum3);
    if (++slot == kv.capacity) slot = 0;
  }
  // Idle heads of a tile repeat the last one, so storing in this order ends with the right value everywhere.
  hn::StoreU(hn::Mul(sum0, hn::Set(d, inverse_sums[0])), d, out[0] + i);
  hn::StoreU(hn::Mul(sum1, hn::Set(d, inverse_sums[1])), d, out[1] + i);
  hn::StoreU(hn::Mul(sum2, hn::Set(d, inverse_sums[2])), d, out[2] + i);
  hn::StoreU(hn::Mul(sum3, hn::Set(d, inverse_sums[3])), d, out[3] + i);
}

// Up to kHeadTile heads of one token that read the same keys at `offset`.
inline void attend_tile(float* out, const float* queries, std::size_t heads, const KvView& kv, std::size_t dim, std::size_t width,
                        std::size_t offset, std::size_t begin, std::size_t end) {
  // Whole blocks are scored; what lies outside [begin, end) is masked before the softmax.
  const std::size_t first_block = begin / kKeyBlock;
  const std::size_t blocks = (end + kKeyBlock - 1) / kKeyBlock - first_block;
  const std::size_t padded = blocks * kKeyBlock;
  thread_local std::vector<float> scores;
  scores.resize(kHeadTile * padded);
  float* rows[kHeadTile];
  const float* query[kHeadTile];
  float* result[kHeadTile];
  for (std::size_t head = 0; head < kHeadTile; ++head) {
    rows[head] = scores.data() + head * padded;
    query[head] = queries + std::min(head, heads - 1) * dim;
    result[head] = out + std::min(head, heads - 1) * dim;
  }
  const float scale = 1 / std::sqrt(static_cast<float>(dim));
  const std::size_t ring_blocks = kv.capacity / kKeyBlock;
  for (std::size_t block = 0; block < blocks; ++block) {
    float* const at[kHeadTile] = {rows[0] + block * kKeyBlock, rows[1] + block * kKeyBlock, rows[2] + block * kKeyBlock, rows[3] + block * kKeyBlock};
    const float* keys = kv.keys + ((first_block + block) % ring_blocks * width + offset) * kKeyBlock;
    score_block(at, query, keys, dim, scale);
  }
  const std::size_t skip = begin - first_block * kKeyBlock;
  const std::size_t count = end - begin;
  float inverse_sums[kHeadTile];
  const float* weights[kHeadTile];
  for (std::size_t head = 0; head < kHeadTile; ++head) {
    weights[head] = rows[head] + skip;
    inverse_sums[head] = head < heads ? 1 / exponentiate(rows[head] + skip, count) : inverse_sums[heads - 1];
    if (head >= heads) weights[head] = weights[heads - 1];
  }
  const F d;
  const hn::CappedTag<float, 1> one;
  std::size_t i = 0;
  for (; i + hn::Lanes(d) <= dim; i += hn::Lanes(d)) weigh_values(d, result, weights, inverse_sums, kv, width, begin, count, offset, i);
  for (; i < dim; ++i) weigh_values(one, result, weights, inverse_sums, kv, width, begin, count, offset, i);
}

inline void attention(ThreadPool& pool, float* out, const float* queries, const KvView& kv, const AttentionShape& shape,
                      std::size_t rows, std::size_t first, std::size_t window) {
  const auto dim = static_cast<std::size_t>(shape.head_dim);
  const auto heads = static_cast<std::size_t>(shape.heads);
  const auto kv_heads = static_cast<std::size_t>(shape.kv_heads);
  const std::size_t heads_per_kv = heads / kv_heads;
  pool.run(rows * kv_heads, 1, [&](std::size_t from, std::size_t to) {
    for (std::size_t item = from; item < to; ++item) {
      const std::size_t position = first + item / kv_heads;
      const std::size_t kv_head = item % kv_heads;
      const std::size_t begin = attention_begin(kv, position, window);
      for (std::size_t head = 0; head < heads_per_kv; head += kHeadTile) {
        const std::size_t at = (item / kv_heads * heads + kv_head * heads_per_kv + head) * dim;
        attend_tile(out + at, queries + at, std::min(kHeadTile, heads_per_kv - head), kv, dim, kv_heads * dim, kv_head * dim, begin, position + 1);
      }
    }
  });
}

}  // namespace inference::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
