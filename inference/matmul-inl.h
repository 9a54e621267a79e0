// Weights times activations: float weights widened row by row, int4 and int8 weights in integer arithmetic.
#if defined(LOOPD_MATMUL_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOOPD_MATMUL_INL_H_
#undef LOOPD_MATMUL_INL_H_
#else
#define LOOPD_MATMUL_INL_H_
#endif

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <vector>

#include "inference/half.h"
#include "inference/ops.h"
#include "inference/simd_basics-inl.h"

HWY_BEFORE_NAMESPACE();
namespace inference::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Integer products run over blocks of this many columns, so groups must be multiples of it.
constexpr std::size_t kBlock = 64;
// Rows unpacked together and then multiplied with every token, so that a token's activations are loaded once for all.
constexpr std::size_t kTile = 4;
// Blocks that share an activation scale where the columns divide so: a sum is rescaled once for all of them.
constexpr std::size_t kSpan = 4;
// int4 weights take activations of 7 bits and a sign per span, which one instruction multiplies by the unsigned
// nibbles; the error, half a percent of a product, is far under that of four-bit weights. int8 weights (the output
// head, run once per token and not per loop) take 13 bits and a sign.
constexpr float kInt4ActivationMax = 127;
constexpr float kInt8ActivationMax = 8191;

// One stored row as float32.
inline void expand_row(const Matrix& matrix, std::size_t row, float* out) {
  const auto cols = static_cast<std::size_t>(matrix.cols);
  const std::size_t start = row * cols;
  switch (matrix.type) {
    case WeightType::f32: std::memcpy(out, matrix.data + start * sizeof(float), cols * sizeof(float)); return;
    case WeightType::f16:
    case WeightType::bf16:
      for (std::size_t i = 0; i < cols; ++i) {
        std::uint16_t bits;
        std::memcpy(&bits, matrix.data + (start + i) * sizeof bits, sizeof bits);
        out[i] = matrix.type == WeightType::f16 ? half_to_float(bits) : bfloat16_to_float(bits);
      }
      return;
    case WeightType::int8:
    case WeightType::int4: break;
  }
  const auto group = static_cast<std::size_t>(matrix.group);
  const float* scales = matrix.scales.data() + row * (cols / group);
  for (std::size_t i = 0; i < cols; ++i) {
    if (matrix.type == WeightType::int8) {
      out[i] = static_cast<float>(static_cast<std::int8_t>(matrix.data[start + i])) * scales[i / group];
    } else {
      const auto byte = std::to_integer<int>(matrix.data[(start + i) / 2]);
      out[i] = static_cast<float>((i % 2 == 0 ? byte & 15 : byte >> 4) - 8) * scales[i / group];
    }
  }
}

inline void matmul_floats(ThreadPool& pool, float* out, const float* x, const Matrix& matrix, std::size_t rows) {
  const auto outputs = static_cast<std::size_t>(matrix.rows);
  const auto inputs = static_cast<std::size_t>(matrix.cols);
  pool.run(outputs, 8, [&](std::size_t begin, std::size_t end) {
    std::vector<float> weights(inputs);
    for (std::size_t output = begin; output < end; ++output) {
      expand_row(matrix, output, weights.data());
      for (std::size_t row = 0; row < rows; ++row) out[row * outputs + output] = dot(weights.data(), x + row * inputs, inputs);
    }
  });
}

// Activations as integers: values [rows][cols]; for every span of blocks a scale; and for every block what it adds to a
// sum because weights are stored with an offset (int4: nibbles are stored + 8, so -8 times the block's sum).
template <class Int>
struct Quantized {
  std::size_t span = 1;  // blocks that share a scale
  std::vector<Int> values;
  std::vector<float> scales;
  std::vector<std::int32_t> offsets;
};

// Rounds to integers. `split_pairs` puts even columns first, odd ones `kBlock / 2` behind them: the order in which int4
// unpacks. Returns their sum.
template <class Int>
std::int32_t round_block(Int* to, const float* in, float inverse, bool split_pairs) {
  std::int32_t sum = 0;
#if HWY_TARGET == HWY_SCALAR
  for (std::size_t i = 0; i < kBlock; ++i) {
    const auto value = static_cast<std::int32_t>(std::lrintf(in[i] * inverse));
    to[split_pairs ? i / 2 + i % 2 * (kBlock / 2) : i] = static_cast<Int>(value);
    sum += value;
  }
#else
  const hn::CappedTag<float, kBlock / 4> d;
  const hn::RebindToSigned<decltype(d)> d32;
  const hn::Rebind<Int, decltype(d)> narrow;
  const std::size_t lanes = hn::Lanes(d);
  const auto factor = hn::Set(d, inverse);
  auto sums = hn::Zero(d32);
  const auto put = [&](auto values, std::size_t at) HWY_ATTR {
    const auto rounded = hn::NearestInt(hn::Mul(values, factor));
    sums = hn::Add(sums, rounded);
    hn::StoreU(hn::DemoteTo(narrow, rounded), narrow, to + at);
  };
  for (std::size_t i = 0; i < kBlock; i += 2 * lanes) {
    const auto low = hn::LoadU(d, in + i);
    const auto high = hn::LoadU(d, in + i + lanes);
    put(split_pairs ? hn::ConcatEven(d, high, low) : low, split_pairs ? i / 2 : i);
    put(split_pairs ? hn::ConcatOdd(d, high, low) : high, split_pairs ? kBlock / 2 + i / 2 : i + lanes);
  }
  sum = hn::GetLane(hn::SumOfLanes(d32, sums));
#endif
  return sum;
}

template <class Int>
void quantize(Quantized<Int>& result, const float* x, std::size_t rows, std::size_t cols, bool split_pairs, float max) {
  result.span = cols % (kSpan * kBlock) == 0 ? kSpan : 1;
  const std::size_t width = result.span * kBlock;
  result.values.resize(rows * cols);
  result.scales.resize(rows * cols / width);
  result.offsets.resize(rows * cols / kBlock);
  for (std::size_t at = 0; at < rows * cols; at += width) {
    const float largest = largest_magnitude(x + at, width);
    const float inverse = largest > 0 ? max / largest : 0;
    result.scales[at / width] = largest / max;
    for (std::size_t block = at; block < at + width; block += kBlock) {
      result.offsets[block / kBlock] = -8 * round_block(result.values.data() + block, x + block, inverse, split_pairs);
    }
  }
}

// One block of int4 as 64 bytes 0..15, even columns first.
inline void unpack_int4(const std::byte* packed, std::uint8_t* out) {
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(packed);
#if HWY_TARGET == HWY_SCALAR
  for (std::size_t i = 0; i < kBlock / 2; ++i) {
    out[i] = bytes[i] & 15;
    out[kBlock / 2 + i] = bytes[i] >> 4;
  }
#else
  const hn::CappedTag<std::uint8_t, kBlock / 2> d;
  const hn::RepartitionToWide<decltype(d)> wide;  // x86 has no shift of bytes
  const auto low = hn::Set(d, 15);
  for (std::size_t i = 0; i < kBlock / 2; i += hn::Lanes(d)) {
    const auto pairs = hn::LoadU(d, bytes + i);
    hn::StoreU(hn::And(pairs, low), d, out + i);
    hn::StoreU(hn::And(hn::BitCast(d, hn::ShiftRight<4>(hn::BitCast(wide, pairs))), low), d, out + kBlock / 2 + i);
  }
#endif
}

// Adds one block's products of unsigned 4-bit weights and signed 7-bit activations to a vector of int32 sums, which
// start with `offset` in some lane.
#if HWY_TARGET == HWY_AVX3_DL
using Sums = hn::CappedTag<std::int32_t, 16>;
inline hn::Vec<Sums> block_sums(const std::uint8_t* weights, const std::int8_t* x, std::int32_t offset) {
  __m512i sums = _mm512_maskz_set1_epi32(1, offset);
  // Written out because Highway 1.0.3 names another extension here, so that compilers refuse the intrinsic.
  asm("vpdpbusd %2, %1, %0" : "+v"(sums) : "v"(_mm512_loadu_si512(weights)), "m"(*reinterpret_cast<const __m512i_u*>(x)));
  return hn::Vec<Sums>{sums};
}
#elif HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3
using Sums = hn::CappedTag<std::int32_t, 8>;
inline hn::Vec<Sums> block_sums(const std::uint8_t* weights, const std::int8_t* x, std::int32_t offset) {
  // 15 * 127 * 2 fits 16 bits, and so does the sum of two such pairs.
  const auto pairs = [&](std::size_t i) HWY_ATTR {
    return _mm256_maddubs_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(weights + i)), _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + i)));
  };
  const __m256i sums = _mm256_madd_epi16(_mm256_add_epi16(pairs(0), pairs(32)), _mm256_set1_epi16(1));
  return hn::Vec<Sums>{_mm256_add_epi32(sums, _mm256_setr_epi32(offset, 0, 0, 0, 0, 0, 0, 0))};
}
#elif HWY_TARGET == HWY_SCALAR
using Sums = hn::CappedTag<std::int32_t, 1>;
inline hn::Vec<Sums> block_sums(const std::uint8_t* weights, const std::int8_t* x, std::int32_t offset) {
  for (std::size_t i = 0; i < kBlock; ++i) offset += weights[i] * x[i];
  return hn::Set(Sums(), offset);
}
#else
using Sums = hn::CappedTag<std::int32_t, kBlock / 4>;
inline hn::Vec<Sums> block_sums(const std::uint8_t* weights, const std::int8_t* x, std::int32_t offset) {
  const Sums d32;
  const hn::Repartition<std::int16_t, Sums> d16;
  const hn::Rebind<std::uint8_t, decltype(d16)> d_weights;
  const hn::Rebind<std::int8_t, decltype(d16)> d_x;
  auto even = hn::Zero(d32), odd = hn::Zero(d32);
  for (std::size_t i = 0; i < kBlock; i += hn::Lanes(d16)) {
    even = hn::ReorderWidenMulAccumulate(d32, hn::PromoteTo(d16, hn::LoadU(d_weights, weights + i)), hn::PromoteTo(d16, hn::LoadU(d_x, x + i)), even, odd);
  }
  return hn::Add(hn::Add(even, odd), hn::IfThenElseZero(hn::FirstN(d32, 1), hn::Set(d32, offset)));
}
#endif

// The same for signed 8-bit weights and 14-bit activations.
inline hn::Vec<Sums> block_sums(const std::int8_t* weights, const std::int16_t* x, std::int32_t) {
  const Sums d32;
#if HWY_TARGET == HWY_SCALAR
  std::int32_t sum = 0;
  for (std::size_t i = 0; i < kBlock; ++i) sum += weights[i] * x[i];
  return hn::Set(d32, sum);
#else
  const hn::Repartition<std::int16_t, Sums> d16;
  const hn::Rebind<std::int8_t, decltype(d16)> d8;
  auto even = hn::Zero(d32), odd = hn::Zero(d32);
  for (std::size_t i = 0; i < kBlock; i += hn::Lanes(d16)) {
    even = hn::ReorderWidenMulAccumulate(d32, hn::PromoteTo(d16, hn::LoadU(d8, weights + i)), hn::LoadU(d16, x + i), even, odd);
  }
  return hn::Add(even, odd);
#endif
}

// One token's part in a tile.
template <class Int>
struct Token {
  const Int* x;
  const float* scales;
  const std::int32_t* offsets;
  float* out;  // kTile results
};

// Rows of a tile times two tokens, so that weights are loaded once for both, or times token `a` alone. `weights` are
// kTile rows of `cols`, `weight_scales` [block][kTile].
template <bool kPair, class Weight, class Int>
void multiply_tile(const Weight* weights, const float* weight_scales, const Token<Int>& a, const Token<Int>& b, std::size_t cols, std::size_t span) {
  const hn::Rebind<float, Sums> d;
  const auto zero = hn::Zero(d);
  auto a0 = zero, a1 = zero, a2 = zero, a3 = zero, b0 = zero, b1 = zero, b2 = zero, b3 = zero;
  const std::size_t blocks = cols / kBlock;
  for (std::size_t first = 0; first < blocks; first += span) {
    auto pa0 = zero, pa1 = zero, pa2 = zero, pa3 = zero, pb0 = zero, pb1 = zero, pb2 = zero, pb3 = zero;
    for (std::size_t block = first; block < first + span; ++block) {
      const float* scales = weight_scales + block * kTile;
      const std::size_t at = block * kBlock;
      const auto add = [&](auto part, const Token<Int>& token, std::size_t row) HWY_ATTR {
        const auto sums = block_sums(weights + row * cols + at, token.x + at, token.offsets[block]);
        return hn::MulAdd(hn::ConvertTo(d, sums), hn::Set(d, scales[row]), part);
      };
      pa0 = add(pa0, a, 0), pa1 = add(pa1, a, 1), pa2 = add(pa2, a, 2), pa3 = add(pa3, a, 3);
      if constexpr (kPair) pb0 = add(pb0, b, 0), pb1 = add(pb1, b, 1), pb2 = add(pb2, b, 2), pb3 = add(pb3, b, 3);
    }
    const auto close = [&](auto sum, auto part, const Token<Int>& token) HWY_ATTR {
      return hn::MulAdd(part, hn::Set(d, token.scales[first / span]), sum);
    };
    a0 = close(a0, pa0, a), a1 = close(a1, pa1, a), a2 = close(a2, pa2, a), a3 = close(a3, pa3, a);
    if constexpr (kPair) b0 = close(b0, pb0, b), b1 = close(b1, pb1, b), b2 = close(b2, pb2, b), b3 = close(b3, pb3, b);
  }
  const auto total = [&](auto lanes) HWY_ATTR { return hn::GetLane(hn::SumOfLanes(d, lanes)); };
  a.out[0] = total(a0), a.out[1] = total(a1), a.out[2] = total(a2), a.out[3] = total(a3);
  if constexpr (kPair) b.out[0] = total(b0), b.out[1] = total(b1), b.out[2] = total(b2), b.out[3] = total(b3);
}

// The rows of a tile, side by side and ready to multiply: int4 unpacked into `scratch`, int8 as they lie in the file,
// unless the last tile is not full.
inline const std::uint8_t* lay_out(const Matrix& matrix, std::size_t row, std::size_t count, std::vector<std::uint8_t>& scratch) {
  const auto cols = static_cast<std::size_t>(matrix.cols);
  scratch.resize(kTile * cols);
  for (std::size_t i = 0; i < count * cols; i += kBlock) unpack_int4(matrix.data + (row * cols + i) / 2, scratch.data() + i);
  return scratch.data();
}
inline const std::int8_t* lay_out(const Matrix& matrix, std::size_t row, std::size_t count, std::vector<std::int8_t>& scratch) {
  const auto cols = static_cast<std::size_t>(matrix.cols);
  const auto* rows = reinterpret_cast<const std::int8_t*>(matrix.data) + row * cols;
  if (count == kTile) return rows;
  scratch.assign(rows, rows + count * cols);
  scratch.resize(kTile * cols);
  return scratch.data();
}

// Scales of a tile's rows, block by block: [block][kTile].
inline void lay_out_scales(const Matrix& matrix, std::size_t row, std::size_t count, std::vector<float>& scales) {
  const auto groups = static_cast<std::size_t>(matrix.cols / matrix.group);
  const std::size_t blocks_per_group = static_cast<std::size_t>(matrix.group) / kBlock;
  scales.resize(groups * blocks_per_group * kTile);
  for (std::size_t i = 0; i < count; ++i) {
    const float* stored = matrix.scales.data() + (row + i) * groups;
    float* to = scales.data() + i;
    for (std::size_t group = 0; group < groups; ++group) {
      for (std::size_t block = 0; block < blocks_per_group; ++block, to += kTile) *to = stored[group];
    }
  }
}

template <class Weight, class Int>
void matmul_integers(ThreadPool& pool, float* out, const float* x, const Matrix& matrix, std::size_t rows, float activation_max) {
  const auto outputs = static_cast<std::size_t>(matrix.rows);
  const auto cols = static_cast<std::size_t>(matrix.cols);
  thread_local Quantized<Int> shared;
  Quantized<Int>& activations = shared;  // a lambda sees its own thread's thread_local, so name the caller's here
  quantize(activations, x, rows, cols, matrix.type == WeightType::int4, activation_max);
  const std::size_t scales_per_row = cols / kBlock / activations.span;
  pool.run(outputs, kTile, [&](std::size_t begin, std::size_t end) {
    thread_local std::vector<Weight> scratch;
    thread_local std::vector<float> scales;
    for (std::size_t output = begin; output < end; output += kTile) {
      const std::size_t tile = std::min(kTile, end - output);
      const Weight* weights = lay_out(matrix, output, tile, scratch);
      lay_out_scales(matrix, output, tile, scales);
      for (std::size_t row = 0; row < rows; row += 2) {
        float results[2][kTile];
        const auto token = [&](std::size_t which, std::size_t slot) HWY_ATTR {
          return Token<Int>{activations.values.data() + which * cols, activations.scales.data() + which * scales_per_row,
                            activations.offsets.data() + which * (cols / kBlock), results[slot]};
        };
        if (row + 1 < rows) {
          multiply_tile<true>(weights, scales.data(), token(row, 0), token(row + 1, 1), cols, activations.span);
          std::copy_n(results[1], tile, out + (row + 1) * outputs + output);
        } else {
          multiply_tile<false>(weights, scales.data(), token(row, 0), token(row, 0), cols, activations.span);
        }
        std::copy_n(results[0], tile, out + row * outputs + output);
      }
    }
  });
}

inline void matmul(ThreadPool& pool, float* out, const float* x, const Matrix& matrix, std::size_t rows) {
  const auto fits = [&] { return matrix.cols % static_cast<int>(kBlock) == 0 && matrix.group % static_cast<int>(kBlock) == 0; };
  if (matrix.type == WeightType::int4 && fits()) {
    matmul_integers<std::uint8_t, std::int8_t>(pool, out, x, matrix, rows, kInt4ActivationMax);
  } else if (matrix.type == WeightType::int8 && fits()) {
    matmul_integers<std::int8_t, std::int16_t>(pool, out, x, matrix, rows, kInt8ActivationMax);
  } else {
    matmul_floats(pool, out, x, matrix, rows);
  }
}

}  // namespace inference::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
