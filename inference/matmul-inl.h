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
// int4 weights take activations of 7 bits and a sign per block, which one instruction multiplies by the unsigned
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

// Activations as integers: values [rows][cols], and for every block a scale and what the weights' offset adds up to.
template <class Int>
struct Quantized {
  std::vector<Int> values;
  std::vector<float> scales;
  std::vector<std::int32_t> offsets;  // int4: -8 times the block's sum, because nibbles are stored + 8
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
  result.values.resize(rows * cols);
  result.scales.resize(rows * cols / kBlock);
  result.offsets.resize(rows * cols / kBlock);
  for (std::size_t block = 0; block < rows * cols / kBlock; ++block) {
    const float* in = x + block * kBlock;
    const float largest = largest_magnitude(in, kBlock);
    result.scales[block] = largest / max;
    result.offsets[block] = -8 * round_block(result.values.data() + block * kBlock, in, largest > 0 ? max / largest : 0, split_pairs);
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

// out[0..3] = rows of a tile times one token. `weights` are kTile rows of `cols`, `weight_scales` [block][kTile].
template <class Weight, class Int>
void multiply_tile(float* out, const Weight* weights, const float* weight_scales, const Int* x, const float* x_scales,
                   const std::int32_t* offsets, std::size_t cols, std::size_t tile) {
  const hn::Rebind<float, Sums> df;
  auto total0 = hn::Zero(df), total1 = total0, total2 = total0, total3 = total0;
  for (std::size_t block = 0; block < cols / kBlock; ++block) {
    const auto scale = hn::Set(df, x_scales[block]);
    const float* row_scales = weight_scales + block * kTile;
    const Weight* w = weights + block * kBlock;
    const Int* in = x + block * kBlock;
    const auto add = [&](auto total, std::size_t row) HWY_ATTR {
      const auto sums = hn::ConvertTo(df, block_sums(w + row * cols, in, offsets[block]));
      return hn::MulAdd(hn::Mul(sums, scale), hn::Set(df, row_scales[row]), total);
    };
    total0 = add(total0, 0);
    total1 = add(total1, 1);
    total2 = add(total2, 2);
    total3 = add(total3, 3);
  }
  const float totals[kTile] = {hn::GetLane(hn::SumOfLanes(df, total0)), hn::GetLane(hn::SumOfLanes(df, total1)),
                               hn::GetLane(hn::SumOfLanes(df, total2)), hn::GetLane(hn::SumOfLanes(df, total3))};
  for (std::size_t row = 0; row < tile; ++row) out[row] = totals[row];
}

// Where a tile's rows lie ready to multiply: int4 unpacked into scratch, int8 copied beside each other.
inline void lay_out(const Matrix& matrix, std::size_t row, std::uint8_t* to) {
  const auto cols = static_cast<std::size_t>(matrix.cols);
  for (std::size_t col = 0; col < cols; col += kBlock) unpack_int4(matrix.data + (row * cols + col) / 2, to + col);
}
inline void lay_out(const Matrix& matrix, std::size_t row, std::int8_t* to) {
  const auto cols = static_cast<std::size_t>(matrix.cols);
  std::memcpy(to, matrix.data + row * cols, cols);
}

template <class Weight, class Int>
void matmul_integers(ThreadPool& pool, float* out, const float* x, const Matrix& matrix, std::size_t rows, float activation_max) {
  const auto outputs = static_cast<std::size_t>(matrix.rows);
  const auto cols = static_cast<std::size_t>(matrix.cols);
  const std::size_t blocks = cols / kBlock;
  const std::size_t groups = cols / static_cast<std::size_t>(matrix.group);
  const std::size_t blocks_per_group = blocks / groups;
  thread_local Quantized<Int> shared;
  Quantized<Int>& activations = shared;  // a lambda sees its own thread's thread_local, so name the caller's here
  quantize(activations, x, rows, cols, matrix.type == WeightType::int4, activation_max);
  pool.run(outputs, kTile, [&](std::size_t begin, std::size_t end) {
    thread_local std::vector<Weight> weights;
    thread_local std::vector<float> scales;
    weights.resize(kTile * cols);
    scales.resize(kTile * blocks);
    for (std::size_t output = begin; output < end; output += kTile) {
      const std::size_t tile = std::min(kTile, end - output);
      for (std::size_t row = 0; row < tile; ++row) {
        lay_out(matrix, output + row, weights.data() + row * cols);
        const float* stored = matrix.scales.data() + (output + row) * groups;
        for (std::size_t block = 0; block < blocks; ++block) scales[block * kTile + row] = stored[block / blocks_per_group];
      }
      for (std::size_t row = 0; row < rows; ++row) {
        multiply_tile(out + row * outputs + output, weights.data(), scales.data(), activations.values.data() + row * cols,
                      activations.scales.data() + row * blocks, activations.offsets.data() + row * blocks, cols, tile);
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
