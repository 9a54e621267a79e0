// Packed int4 and int8 weights times quantised activations: sixteen rows and up to eight tokens at a time.
#if defined(LOOPD_PACKED_MATMUL_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOOPD_PACKED_MATMUL_INL_H_
#undef LOOPD_PACKED_MATMUL_INL_H_
#else
#define LOOPD_PACKED_MATMUL_INL_H_
#endif

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <type_traits>
#include <vector>

#include "hwy/cache_control.h"
#include "inference/half.h"
#include "inference/ops.h"
#include "inference/packed.h"
#include "inference/simd_basics-inl.h"

HWY_BEFORE_NAMESPACE();
namespace inference::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Blocks that share an activation scale where the columns divide so: a sum is rescaled once for all of them.
constexpr std::size_t kSpan = 4;
// int4 weights take activations of 7 bits and a sign per span, which one instruction multiplies by the unsigned
// nibbles; the error, half a percent of a product, is far under that of four-bit weights. int8 weights (the output
// head, run once per token and not per loop) take 13 bits and a sign, in two parts: 128 * high + low.
constexpr float kInt4ActivationMax = 127;
constexpr float kInt8ActivationMax = 8191;

// Activations as integers. What a token's sums come to does not depend on which other tokens are computed beside it:
// integer sums are exact, and floats are added in one order.
struct Quantized {
  std::size_t span = 1;  // blocks that share a scale
  std::vector<std::int8_t> low;   // [rows][cols]; for int4 the even columns of every 8 first
  std::vector<std::int8_t> high;  // int8 weights only
  std::vector<float> scales;      // [rows][cols / (span * 64)]
  // [rows][cols / 64]: what takes back the offset of unsigned weights: -8 or -128 times the sum of a block.
  std::vector<std::int32_t> offsets;
};

// 64 activations; returns their sum as integers.
inline std::int32_t quantize_block(const float* in, float inverse, bool wide, std::int8_t* low, std::int8_t* high) {
#if HWY_TARGET == HWY_SCALAR
  std::int32_t sum = 0;
  for (std::size_t i = 0; i < kPackBlock; ++i) {
    const auto value = static_cast<std::int32_t>(std::lrintf(in[i] * inverse));
    sum += value;
    if (wide) {
      low[i] = static_cast<std::int8_t>(value & 127);
      high[i] = static_cast<std::int8_t>(value >> 7);
    } else {
      low[i / 8 * 8 + i % 2 * 4 + i % 8 / 2] = static_cast<std::int8_t>(value);
    }
  }
  return sum;
#else
  const hn::CappedTag<float, 16> d;
  const hn::RebindToSigned<decltype(d)> d32;
  const hn::Rebind<std::int8_t, decltype(d)> narrow;
  alignas(64) std::int8_t bytes[kPackBlock];
  const auto factor = hn::Set(d, inverse);
  auto sums = hn::Zero(d32);
  for (std::size_t i = 0; i < kPackBlock; i += hn::Lanes(d)) {
    const auto rounded = hn::NearestInt(hn::Mul(hn::LoadU(d, in + i), factor));
    sums = hn::Add(sums, rounded);
    if (wide) {
      hn::StoreU(hn::DemoteTo(narrow, hn::And(rounded, hn::Set(d32, 127))), narrow, low + i);
      hn::StoreU(hn::DemoteTo(narrow, hn::ShiftRight<7>(rounded)), narrow, high + i);
    } else {
      hn::StoreU(hn::DemoteTo(narrow, rounded), narrow, bytes + i);
    }
  }
  if (!wide) {
    alignas(16) static constexpr std::int8_t kEvenFirst[16] = {0, 2, 4, 6, 1, 3, 5, 7, 8, 10, 12, 14, 9, 11, 13, 15};
    const hn::FixedTag<std::int8_t, 16> d8;
    const auto order = hn::Load(d8, kEvenFirst);
    for (std::size_t i = 0; i < kPackBlock; i += 16) hn::StoreU(hn::TableLookupBytes(hn::Load(d8, bytes + i), order), d8, low + i);
  }
  return hn::GetLane(hn::SumOfLanes(d32, sums));
#endif
}

inline void quantize_rows(Quantized& result, const float* x, std::size_t begin, std::size_t end, std::size_t cols, bool wide) {
  const std::size_t width = result.span * kPackBlock;
  const float max = wide ? kInt8ActivationMax : kInt4ActivationMax;
  for (std::size_t at = begin * cols; at < end * cols; at += width) {
    const float largest = largest_magnitude(x + at, width);
    const float inverse = largest > 0 ? max / largest : 0;
    result.scales[at / width] = largest / max;
    for (std::size_t block = at; block < at + width; block += kPackBlock) {
      const std::int32_t sum = quantize_block(x + block, inverse, wide, result.low.data() + block, wide ? result.high.data() + block : nullptr);
      result.offsets[block / kPackBlock] = wide ? -128 * sum : -8 * sum;
    }
  }
}

inline void quantize(ThreadPool& pool, Quantized& result, const float* x, std::size_t rows, std::size_t cols, bool wide) {
  result.span = cols % (kSpan * kPackBlock) == 0 ? kSpan : 1;
  result.low.resize(rows * cols);
  if (wide) result.high.resize(rows * cols);
  result.scales.resize(rows * cols / (result.span * kPackBlock));
  result.offsets.resize(rows * cols / kPackBlock);
  pool.run(rows, 8, [&](std::size_t begin, std::size_t end) { quantize_rows(result, x, begin, end, cols, wide); });
}

// --- The products of one vector: lanes of sums, one row a lane, each adding four products. ---
#if HWY_TARGET == HWY_AVX3_DL
using RawBytes = __m512i;
#elif HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3
using RawBytes = __m256i;
#else
#define LOOPD_PLAIN_PRODUCTS
#endif

#ifndef LOOPD_PLAIN_PRODUCTS
using Sums = hn::CappedTag<std::int32_t, sizeof(RawBytes) / 4>;
using SumsV = hn::Vec<Sums>;
// Four weights a row.
struct Bytes {
  RawBytes raw;
};
#endif

#if HWY_TARGET == HWY_AVX3_DL
inline Bytes load_bytes(const std::uint8_t* from) { return {_mm512_load_si512(from)}; }
inline Bytes low_nibbles(Bytes bytes) { return {_mm512_and_si512(bytes.raw, _mm512_set1_epi8(15))}; }
inline Bytes high_nibbles(Bytes bytes) { return {_mm512_and_si512(_mm512_srli_epi16(bytes.raw, 4), _mm512_set1_epi8(15))}; }
constexpr bool kOffsetsInSums = true;
// Written out because Highway 1.0.3 names another extension here, so that compilers refuse the intrinsic.
inline SumsV add_products(SumsV sums, Bytes weights, const std::int8_t* x) {
  asm("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(sums.raw) : "v"(weights.raw), "m"(*reinterpret_cast<const __attribute__((__may_alias__, __aligned__(1))) std::int32_t*>(x)));
  return sums;
}
inline SumsV add_signed_products(SumsV sums, Bytes weights, const std::int8_t* x) { return add_products(sums, weights, x); }
#elif HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3
inline Bytes load_bytes(const std::uint8_t* from) { return {_mm256_load_si256(reinterpret_cast<const __m256i*>(from))}; }
inline Bytes low_nibbles(Bytes bytes) { return {_mm256_and_si256(bytes.raw, _mm256_set1_epi8(15))}; }
inline Bytes high_nibbles(Bytes bytes) { return {_mm256_and_si256(_mm256_srli_epi16(bytes.raw, 4), _mm256_set1_epi8(15))}; }
inline __m256i broadcast_four(const std::int8_t* x) {
  std::int32_t four;
  std::memcpy(&four, x, sizeof four);
  return _mm256_set1_epi32(four);
}
constexpr bool kOffsetsInSums = false;  // for int8; this multiplication saturates at 16 bits, so weights go in signed
inline SumsV add_products(SumsV sums, Bytes weights, const std::int8_t* x) {
  const __m256i pairs = _mm256_maddubs_epi16(weights.raw, broadcast_four(x));  // at most 2 * 15 * 127
  return SumsV{_mm256_add_epi32(sums.raw, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))};
}
inline SumsV add_signed_products(SumsV sums, Bytes weights, const std::int8_t* x) {
  const __m256i stored = _mm256_xor_si256(weights.raw, _mm256_set1_epi8(static_cast<char>(0x80)));
  const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(stored), _mm256_sign_epi8(broadcast_four(x), stored));  // at most 2 * 128 * 127
  return SumsV{_mm256_add_epi32(sums.raw, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))};
}
#endif

template <class Scale>
float scale_of(const Scale* scale) {
  if constexpr (sizeof(Scale) == 2) {
    return half_to_float(*scale);
  } else {
    return *scale;
  }
}

#ifndef LOOPD_PLAIN_PRODUCTS
using Floats = hn::Rebind<float, Sums>;

inline hn::Vec<Floats> load_scales(const float* scales) { return hn::LoadU(Floats(), scales); }
inline hn::Vec<Floats> load_scales(const std::uint16_t* scales) {
  const hn::Rebind<hwy::float16_t, Floats> halves;
  const hn::Rebind<std::uint16_t, Floats> words;
  return hn::PromoteTo(Floats(), hn::BitCast(halves, hn::LoadU(words, scales)));
}
#endif

// What a tile is multiplied with: kTokens rows of the quantised input from `first` on.
struct TileInput {
  const Quantized& x;
  std::size_t cols;
  std::size_t first;
  std::size_t spans;  // of a row

  const std::int8_t* low(std::size_t token, std::size_t col) const { return x.low.data() + (first + token) * cols + col; }
  const std::int8_t* high(std::size_t token, std::size_t col) const { return x.high.data() + (first + token) * cols + col; }
  std::int32_t offset(std::size_t token, std::size_t block) const { return x.offsets[(first + token) * (cols / kPackBlock) + block]; }
  float scale(std::size_t token, std::size_t span) const { return x.scales[(first + token) * spans + span]; }
};

// sums[token][16] of one tile. `weights` and `scales` are the tile's.
template <std::size_t kTokens, bool kInt8, class Scale>
HWY_NOINLINE void multiply_tile(const std::uint8_t* weights, const Scale* scales, std::size_t blocks_per_scale, const TileInput in, float (*out)[kPackRows]) {
  constexpr std::size_t kColumns = kInt8 ? 4 : 8;  // of a row in 4 bytes
  constexpr std::size_t kBlockBytes = kPackBlock / kColumns * kPackRows * 4;
#ifdef LOOPD_PLAIN_PRODUCTS
  const std::size_t blocks = in.cols / kPackBlock;
  for (std::size_t token = 0; token < kTokens; ++token) {
    float sum[kPackRows] = {}, part[kPackRows] = {};
    for (std::size_t block = 0; block < blocks; ++block) {
      const std::uint8_t* bytes = weights + block * kBlockBytes;
      const std::int8_t* low = in.low(token, block * kPackBlock);
      const std::int8_t* high = kInt8 ? in.high(token, block * kPackBlock) : nullptr;
      for (std::size_t row = 0; row < kPackRows; ++row) {
        std::int32_t products = in.offset(token, block);
        for (std::size_t i = 0; i < kPackBlock / kColumns; ++i) {
          for (std::size_t j = 0; j < 4; ++j) {
            const std::int32_t byte = bytes[(i * kPackRows + row) * 4 + j];
            products += kInt8 ? byte * (low[i * 4 + j] + 128 * high[i * 4 + j]) : (byte & 15) * low[i * 8 + j] + (byte >> 4) * low[i * 8 + 4 + j];
          }
        }
        part[row] = std::fma(static_cast<float>(products), scale_of(scales + block / blocks_per_scale * kPackRows + row), part[row]);
      }
      if ((block + 1) % in.x.span != 0) continue;
      for (std::size_t row = 0; row < kPackRows; ++row) sum[row] = std::fma(part[row], in.scale(token, block / in.x.span), sum[row]), part[row] = 0;
    }
    std::copy_n(sum, kPackRows, out[token]);
  }
#else
  const Sums d32;
  const Floats d;
  // An instruction takes four cycles and two start in every one: eight sums at a time keep both units busy. Sums of
  // integers come out the same however they are split.
  constexpr std::size_t kChains = kTokens * (kInt8 ? 2 : 1) >= 6 ? 1 : kTokens >= 3 || kInt8 ? 2 : 4;
  constexpr std::size_t kPart = kInt8 ? 1 : 2;  // chains that one load feeds
  constexpr std::size_t kSteps = kChains > kPart ? kChains / kPart : 1;
  for (std::size_t lane = 0; lane < kPackRows; lane += hn::Lanes(d)) {
    hn::Vec<Floats> sum[kTokens], part[kTokens];
    for (std::size_t t = 0; t < kTokens; ++t) sum[t] = hn::Zero(d);
    const Scale* scale_row = scales + lane;
    std::size_t blocks_left = blocks_per_scale;
    std::size_t block = 0;
    for (std::size_t span = 0; span < in.spans; ++span) {
      for (std::size_t t = 0; t < kTokens; ++t) part[t] = hn::Zero(d);
      for (const std::size_t end = block + in.x.span; block < end; ++block) {
        const std::uint8_t* bytes = weights + block * kBlockBytes + lane * 4;
        SumsV products[kTokens][kChains], upper[kTokens][kChains];
        for (std::size_t t = 0; t < kTokens; ++t) {
          for (std::size_t c = 0; c < kChains; ++c) products[t][c] = upper[t][c] = hn::Zero(d32);
          if (!kInt8 || kOffsetsInSums) products[t][0] = hn::Set(d32, in.offset(t, block));
        }
        for (std::size_t i = 0; i < kPackBlock / kColumns; i += kSteps) {
          for (std::size_t step = 0; step < kSteps; ++step, bytes += kPackRows * 4) {
            const Bytes four = load_bytes(bytes);
            // Few tokens wait for memory: ask for what comes a few microseconds later.
            if (kTokens <= 4) hwy::Prefetch(bytes + 2048);
            const std::size_t col = block * kPackBlock + (i + step) * kColumns, c = step * kPart % kChains;
            if constexpr (kInt8) {
              for (std::size_t t = 0; t < kTokens; ++t) {
                products[t][c] = add_signed_products(products[t][c], four, in.low(t, col));
                upper[t][c] = add_signed_products(upper[t][c], four, in.high(t, col));
              }
            } else {
              const Bytes even = low_nibbles(four), odd = high_nibbles(four);
              constexpr std::size_t kOdd = kChains > 1 ? 1 : 0;
              for (std::size_t t = 0; t < kTokens; ++t) {
                products[t][c] = add_products(products[t][c], even, in.low(t, col));
                products[t][c + kOdd] = add_products(products[t][c + kOdd], odd, in.low(t, col + 4));
              }
            }
          }
        }
        const auto scale = load_scales(scale_row);
        if (--blocks_left == 0) scale_row += kPackRows, blocks_left = blocks_per_scale;
        for (std::size_t t = 0; t < kTokens; ++t) {
          for (std::size_t c = 1; c < kChains; ++c) {
            products[t][0] = hn::Add(products[t][0], products[t][c]);
            if (kInt8) upper[t][0] = hn::Add(upper[t][0], upper[t][c]);
          }
          if (kInt8) products[t][0] = hn::Add(products[t][0], hn::ShiftLeft<7>(upper[t][0]));
          part[t] = hn::MulAdd(hn::ConvertTo(d, products[t][0]), scale, part[t]);
        }
      }
      for (std::size_t t = 0; t < kTokens; ++t) sum[t] = hn::MulAdd(part[t], hn::Set(d, in.scale(t, span)), sum[t]);
    }
    for (std::size_t t = 0; t < kTokens; ++t) hn::StoreU(sum[t], d, out[t] + lane);
  }
#endif
}

template <std::size_t kCount>
using Tokens = std::integral_constant<std::size_t, kCount>;

template <bool kInt8, class Scale>
void multiply_rows(const Product& product, const Scale* scales, std::size_t tile, const Quantized& x, std::size_t rows) {
  const Matrix& matrix = *product.matrix;
  const auto outputs = static_cast<std::size_t>(matrix.rows);
  const auto cols = static_cast<std::size_t>(matrix.cols);
  const std::uint8_t* weights = matrix.packed->weights + tile * kPackRows * (kInt8 ? cols : cols / 2);
  scales += tile * (cols / static_cast<std::size_t>(matrix.group)) * kPackRows;
  const std::size_t blocks_per_scale = matrix.packed->blocks_per_scale;
  const std::size_t count = std::min(kPackRows, outputs - tile * kPackRows);
  // Eight tokens and two parts of int8 activations would not fit the registers.
  constexpr std::size_t kMost = kInt8 ? 4 : 8;
  float sums[kMost][kPackRows];
  for (std::size_t row = 0; row < rows; row += kMost) {
    const std::size_t tokens = std::min(kMost, rows - row);
    const TileInput in{x, cols, row, cols / (kPackBlock * x.span)};
    const auto multiply = [&](auto number) { multiply_tile<decltype(number)::value, kInt8>(weights, scales, blocks_per_scale, in, sums); };
    switch (tokens) {
      case 1: multiply(Tokens<1>()); break;
      case 2: multiply(Tokens<2>()); break;
      case 3: multiply(Tokens<3>()); break;
      case 4: multiply(Tokens<4>()); break;
      case 5: multiply(Tokens<std::min<std::size_t>(5, kMost)>()); break;
      case 6: multiply(Tokens<std::min<std::size_t>(6, kMost)>()); break;
      case 7: multiply(Tokens<std::min<std::size_t>(7, kMost)>()); break;
      default: multiply(Tokens<kMost>()); break;
    }
    for (std::size_t t = 0; t < tokens; ++t) std::copy_n(sums[t], count, product.out + (row + t) * outputs + tile * kPackRows);
  }
}

inline void multiply_tile_of(const Product& product, std::size_t tile, const Quantized& x, std::size_t rows) {
  const PackedMatrix& packed = *product.matrix->packed;
  if (product.matrix->type == WeightType::int8) {
    packed.half_scales ? multiply_rows<true>(product, packed.half_scales, tile, x, rows) : multiply_rows<true>(product, packed.scales, tile, x, rows);
  } else {
    packed.half_scales ? multiply_rows<false>(product, packed.half_scales, tile, x, rows) : multiply_rows<false>(product, packed.scales, tile, x, rows);
  }
}

inline std::size_t tiles_of(const Matrix& matrix) { return (static_cast<std::size_t>(matrix.rows) + kPackRows - 1) / kPackRows; }

// All products are packed and of one type: the input is quantised once, and the tiles of all are shared out together.
inline void matmul_packed(ThreadPool& pool, std::span<const Product> products, const float* x, std::size_t rows) {
  thread_local Quantized shared;
  Quantized& activations = shared;  // a lambda sees its own thread's thread_local, so name the caller's here
  const Matrix& first = *products[0].matrix;
  quantize(pool, activations, x, rows, static_cast<std::size_t>(first.cols), first.type == WeightType::int8);
  std::size_t tiles = 0;
  for (const Product& product : products) tiles += tiles_of(*product.matrix);
  pool.run(tiles, 1, [&](std::size_t begin, std::size_t end) {
    std::size_t before = 0;
    for (const Product& product : products) {
      const std::size_t own = tiles_of(*product.matrix);
      for (std::size_t tile = std::max(begin, before); tile < std::min(end, before + own); ++tile) multiply_tile_of(product, tile - before, activations, rows);
      before += own;
    }
  });
}

#undef LOOPD_PLAIN_PRODUCTS
}  // namespace inference::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
