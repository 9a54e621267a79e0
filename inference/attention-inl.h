// Softmax attention over pages of 64 positions; up to three query heads share every key and value that is read.
#if defined(LOOPD_ATTENTION_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOOPD_ATTENTION_INL_H_
#undef LOOPD_ATTENTION_INL_H_
#else
#define LOOPD_ATTENTION_INL_H_
#endif

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "inference/half.h"
#include "inference/ops.h"
#include "inference/simd_basics-inl.h"

HWY_BEFORE_NAMESPACE();
namespace inference::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Query heads that share a pass: with four blocks of keys, or four vectors of a value, their sums fill twelve registers.
constexpr std::size_t kHeadTile = 3;
constexpr std::size_t kBlocksPerPage = kKvPage / kKeyBlock;
// Vectors of a value that are summed at a time.
constexpr std::size_t kValueVectors = 4;

template <class D>
hn::Vec<D> load_kv(D d, const float* from) {
  return hn::LoadU(d, from);
}
template <class D>
hn::Vec<D> load_kv(D d, const std::uint16_t* from) {
#if HWY_TARGET == HWY_SCALAR
  return hn::Set(d, half_to_float(*from));
#else
  const hn::Rebind<hwy::float16_t, D> halves;
  const hn::Rebind<std::uint16_t, D> words;
  return hn::PromoteTo(d, hn::BitCast(halves, hn::LoadU(words, from)));
#endif
}

inline void convert(float* to, const float* from, std::size_t count) { std::copy_n(from, count, to); }
inline void convert(std::uint16_t* to, const float* from, std::size_t count) {
  std::size_t i = 0;
  // Without an instruction for it (x86 before AVX2), Highway's own conversion does not round to the nearest.
#if HWY_TARGET != HWY_SCALAR && !(HWY_ARCH_X86 && HWY_TARGET > HWY_AVX2)
  const F d;
  const hn::Rebind<hwy::float16_t, F> halves;
  const hn::Rebind<std::uint16_t, F> words;
  const auto most = hn::Set(d, kLargestHalf), least = hn::Set(d, -kLargestHalf);
  for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d)) {
    hn::StoreU(hn::BitCast(words, hn::DemoteTo(halves, hn::Clamp(hn::LoadU(d, from + i), least, most))), words, to + i);
  }
#endif
  for (; i < count; ++i) to[i] = float_to_half(std::clamp(from[i], -kLargestHalf, kLargestHalf));
}

template <class Element>
void store_row(const KvView& kv, const float* key, const float* value, std::size_t width, std::size_t position) {
  std::byte* page = kv.page_of(position);
  convert(reinterpret_cast<Element*>(page + kv.values) + position % kKvPage * width, value, width);
  thread_local std::vector<Element> row;
  row.resize(width);
  convert(row.data(), key, width);
  auto* keys = reinterpret_cast<Element*>(page + kv.keys) + position % kKvPage / kKeyBlock * kKeyBlock * width + position % kKeyBlock;
  for (std::size_t i = 0; i < width; ++i) keys[i * kKeyBlock] = row[i];
}

inline void store(const KvView& kv, const float* keys, const float* values, std::size_t width, std::size_t rows, std::size_t first) {
  for (std::size_t row = 0; row < rows; ++row) {
    (kv.type == KvType::f16 ? store_row<std::uint16_t> : store_row<float>)(kv, keys + row * width, values + row * width, width, first + row);
  }
}

// scores[head][block * 16 ..] = scale * query[head] . key for kBlocks blocks of positions; `keys` is [block][dim][16],
// blocks `stride` elements apart. An element's products are added in the order of i, however many blocks there are.
template <std::size_t kHeads, std::size_t kBlocks, class Element>
void score_blocks(float* scores, std::size_t score_stride, const float* queries, const Element* keys, std::size_t stride, std::size_t dim, float scale) {
  const hn::CappedTag<float, kKeyBlock> d;
  const auto factor = hn::Set(d, scale);
  for (std::size_t lane = 0; lane < kKeyBlock; lane += hn::Lanes(d)) {
    hn::Vec<decltype(d)> sums[kHeads][kBlocks];
    for (std::size_t h = 0; h < kHeads; ++h) {
      for (std::size_t b = 0; b < kBlocks; ++b) sums[h][b] = hn::Zero(d);
    }
    for (std::size_t i = 0; i < dim; ++i) {
      hn::Vec<decltype(d)> query[kHeads];
      for (std::size_t h = 0; h < kHeads; ++h) query[h] = hn::Set(d, queries[h * dim + i]);
      for (std::size_t b = 0; b < kBlocks; ++b) {
        const auto key = load_kv(d, keys + b * stride + i * kKeyBlock + lane);
        for (std::size_t h = 0; h < kHeads; ++h) sums[h][b] = hn::MulAdd(query[h], key, sums[h][b]);
      }
    }
    for (std::size_t h = 0; h < kHeads; ++h) {
      for (std::size_t b = 0; b < kBlocks; ++b) hn::StoreU(hn::Mul(sums[h][b], factor), d, scores + h * score_stride + b * kKeyBlock + lane);
    }
  }
}

// out[head][i ..] = inverse_sums[head] * sum over positions [begin, end) of weights[head][position - begin] * value[i ..],
// for kVectors vectors of elements.
template <std::size_t kHeads, std::size_t kVectors, class Element, class D>
void weigh_values(D d, float* out, std::size_t dim, const float* weights, std::size_t weight_stride, const float* inverse_sums,
                  const KvView& kv, std::size_t width, std::size_t offset, std::size_t begin, std::size_t end) {
  hn::Vec<D> sums[kHeads][kVectors];
  for (std::size_t h = 0; h < kHeads; ++h) {
    for (std::size_t v = 0; v < kVectors; ++v) sums[h][v] = hn::Zero(d);
  }
  for (std::size_t position = begin; position < end;) {
    const auto* value = reinterpret_cast<const Element*>(kv.page_of(position) + kv.values) + position % kKvPage * width + offset;
    const std::size_t page_end = std::min(end, position / kKvPage * kKvPage + kKvPage);
    for (; position < page_end; ++position, value += width) {
      hn::Vec<D> weight[kHeads];
      for (std::size_t h = 0; h < kHeads; ++h) weight[h] = hn::Set(d, weights[h * weight_stride + position - begin]);
      for (std::size_t v = 0; v < kVectors; ++v) {
        const auto part = load_kv(d, value + v * hn::Lanes(d));
        for (std::size_t h = 0; h < kHeads; ++h) sums[h][v] = hn::MulAdd(weight[h], part, sums[h][v]);
      }
    }
  }
  for (std::size_t h = 0; h < kHeads; ++h) {
    const auto factor = hn::Set(d, inverse_sums[h]);
    for (std::size_t v = 0; v < kVectors; ++v) hn::StoreU(hn::Mul(sums[h][v], factor), d, out + h * dim + v * hn::Lanes(d));
  }
}

// kHeads heads of one token that read the same keys at element `offset` of a position.
template <std::size_t kHeads, class Element>
HWY_NOINLINE void attend_heads(float* out, const float* queries, const KvView& kv, std::size_t dim, std::size_t width,
                               std::size_t offset, std::size_t begin, std::size_t end) {
  // Whole blocks are scored; what lies outside [begin, end) is left out of the softmax.
  const std::size_t first_block = begin / kKeyBlock, end_block = (end + kKeyBlock - 1) / kKeyBlock;
  const std::size_t stride = (end_block - first_block) * kKeyBlock;
  thread_local std::vector<float> scores;
  scores.resize(kHeads * stride);
  const float scale = 1 / std::sqrt(static_cast<float>(dim));
  for (std::size_t block = first_block; block < end_block;) {
    const std::size_t in_page = block % kBlocksPerPage;
    const auto* keys = reinterpret_cast<const Element*>(kv.page_of(block * kKeyBlock) + kv.keys) + (in_page * width + offset) * kKeyBlock;
    float* to = scores.data() + (block - first_block) * kKeyBlock;
    if (in_page == 0 && block + kBlocksPerPage <= end_block) {
      score_blocks<kHeads, kBlocksPerPage>(to, stride, queries, keys, width * kKeyBlock, dim, scale);
      block += kBlocksPerPage;
    } else {
      score_blocks<kHeads, 1>(to, stride, queries, keys, 0, dim, scale);
      ++block;
    }
  }
  float* const weights = scores.data() + (begin - first_block * kKeyBlock);
  float inverse_sums[kHeads];
  for (std::size_t h = 0; h < kHeads; ++h) inverse_sums[h] = 1 / exponentiate(weights + h * stride, end - begin);
  const F d;
  const hn::CappedTag<float, 1> one;
  std::size_t i = 0;
  for (; i + kValueVectors * hn::Lanes(d) <= dim; i += kValueVectors * hn::Lanes(d)) {
    weigh_values<kHeads, kValueVectors, Element>(d, out + i, dim, weights, stride, inverse_sums, kv, width, offset + i, begin, end);
  }
  for (; i + hn::Lanes(d) <= dim; i += hn::Lanes(d)) weigh_values<kHeads, 1, Element>(d, out + i, dim, weights, stride, inverse_sums, kv, width, offset + i, begin, end);
  for (; i < dim; ++i) weigh_values<kHeads, 1, Element>(one, out + i, dim, weights, stride, inverse_sums, kv, width, offset + i, begin, end);
}

template <class Element>
void attend(float* out, const float* queries, std::size_t heads, const KvView& kv, std::size_t dim, std::size_t width,
            std::size_t offset, std::size_t begin, std::size_t end) {
  for (; heads >= kHeadTile; heads -= kHeadTile, out += kHeadTile * dim, queries += kHeadTile * dim) {
    attend_heads<kHeadTile, Element>(out, queries, kv, dim, width, offset, begin, end);
  }
  if (heads == 2) attend_heads<2, Element>(out, queries, kv, dim, width, offset, begin, end);
  if (heads == 1) attend_heads<1, Element>(out, queries, kv, dim, width, offset, begin, end);
}

inline void attention(ThreadPool& pool, float* out, const float* queries, const KvView& kv, const AttentionShape& shape,
                      std::size_t rows, std::size_t first, std::size_t window) {
  const auto dim = static_cast<std::size_t>(shape.head_dim);
  const auto heads = static_cast<std::size_t>(shape.heads);
  const auto kv_heads = static_cast<std::size_t>(shape.kv_heads);
  const std::size_t heads_per_kv = heads / kv_heads;
  // Rows of one head follow each other, so that its keys and values stay in the nearest cache.
  pool.run(rows * kv_heads, 1, [&](std::size_t from, std::size_t to) {
    for (std::size_t item = from; item < to; ++item) {
      const std::size_t row = item % rows, kv_head = item / rows;
      const std::size_t position = first + row;
      const std::size_t begin = attention_begin(kv, position, window);
      const std::size_t at = (row * heads + kv_head * heads_per_kv) * dim;
      (kv.type == KvType::f16 ? attend<std::uint16_t> : attend<float>)(out + at, queries + at, heads_per_kv, kv, dim, kv_heads * dim, kv_head * dim, begin, position + 1);
    }
  });
}

}  // namespace inference::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
