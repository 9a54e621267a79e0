// The operations with SIMD through Highway, compiled once per instruction set and chosen at run time, and with threads.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "inference/ops_simd.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "hwy/contrib/math/math-inl.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "inference/half.h"
#include "inference/ops.h"

HWY_BEFORE_NAMESPACE();
namespace inference::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Integer products run over blocks of this many columns, so groups must be multiples of it.
constexpr std::size_t kBlock = 64;
// Activations become integers of 14 bits and a sign per block: fine enough that results match the specification to
// about 1e-4, coarse enough that a block of int8 products fits an int32.
constexpr float kActivationMax = 8191;

using F = hn::ScalableTag<float>;

float dot(const float* a, const float* b, std::size_t count) {
  const F d;
  const std::size_t lanes = hn::Lanes(d);
  auto sum0 = hn::Zero(d);
  auto sum1 = hn::Zero(d);
  std::size_t i = 0;
  for (; i + 2 * lanes <= count; i += 2 * lanes) {
    sum0 = hn::MulAdd(hn::LoadU(d, a + i), hn::LoadU(d, b + i), sum0);
    sum1 = hn::MulAdd(hn::LoadU(d, a + i + lanes), hn::LoadU(d, b + i + lanes), sum1);
  }
  for (; i + lanes <= count; i += lanes) sum0 = hn::MulAdd(hn::LoadU(d, a + i), hn::LoadU(d, b + i), sum0);
  float sum = hn::GetLane(hn::SumOfLanes(d, hn::Add(sum0, sum1)));
  for (; i < count; ++i) sum += a[i] * b[i];
  return sum;
}

// y += scale * x
void add_scaled(float* y, const float* x, float scale, std::size_t count) {
  const F d;
  const std::size_t lanes = hn::Lanes(d);
  const auto factor = hn::Set(d, scale);
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) hn::StoreU(hn::MulAdd(hn::LoadU(d, x + i), factor, hn::LoadU(d, y + i)), d, y + i);
  for (; i < count; ++i) y[i] += scale * x[i];
}

// One stored row as float32.
void expand_row(const Matrix& matrix, std::size_t row, float* out) {
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

void matmul_floats(ThreadPool& pool, float* out, const float* x, const Matrix& matrix, std::size_t rows) {
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

// Activations as integers: values [rows][cols], one scale a block.
struct Quantized {
  std::vector<std::int16_t> values;
  std::vector<float> scales;
};

// `split_pairs` puts a block's even columns first, its odd ones after: the order in which int4 nibbles unpack.
void quantize(Quantized& result, const float* x, std::size_t rows, std::size_t cols, bool split_pairs) {
  result.values.resize(rows * cols);
  result.scales.resize(rows * cols / kBlock);
  for (std::size_t block = 0; block < rows * cols / kBlock; ++block) {
    const float* in = x + block * kBlock;
    std::int16_t* out = result.values.data() + block * kBlock;
    float largest = 0;
    for (std::size_t i = 0; i < kBlock; ++i) largest = std::max(largest, std::fabs(in[i]));
    const float inverse = largest > 0 ? kActivationMax / largest : 0;
    result.scales[block] = largest / kActivationMax;
    for (std::size_t i = 0; i < kBlock; ++i) {
      const std::size_t place = split_pairs ? i / 2 + (i % 2) * (kBlock / 2) : i;
      out[place] = static_cast<std::int16_t>(std::lrintf(in[i] * inverse));
    }
  }
}

// Unpacks one block of a row to 16-bit integers, in the order that quantize() gives activations.
void unpack_block(const Matrix& matrix, std::size_t row, std::size_t block, std::int16_t* out) {
  const hn::CappedTag<std::int16_t, kBlock / 2> d16;
  const std::size_t lanes = hn::Lanes(d16);
  const std::size_t start = row * static_cast<std::size_t>(matrix.cols) + block * kBlock;
  if (matrix.type == WeightType::int4) {
    const hn::Rebind<std::uint8_t, decltype(d16)> d8;
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(matrix.data) + start / 2;
    const auto low = hn::Set(d16, 15);
    const auto bias = hn::Set(d16, 8);
    for (std::size_t i = 0; i < kBlock / 2; i += lanes) {
      const auto pairs = hn::PromoteTo(d16, hn::LoadU(d8, bytes + i));
      hn::StoreU(hn::Sub(hn::And(pairs, low), bias), d16, out + i);
      hn::StoreU(hn::Sub(hn::ShiftRight<4>(pairs), bias), d16, out + kBlock / 2 + i);
    }
  } else {
    const hn::Rebind<std::int8_t, decltype(d16)> d8;
    const auto* bytes = reinterpret_cast<const std::int8_t*>(matrix.data) + start;
    for (std::size_t i = 0; i < kBlock; i += lanes) hn::StoreU(hn::PromoteTo(d16, hn::LoadU(d8, bytes + i)), d16, out + i);
  }
}

// Rows unpacked together and then multiplied with every token, so that a token's activations are loaded once for all.
constexpr std::size_t kTile = 4;

void multiply_tile(float* out, std::size_t out_stride, const std::int16_t* weights, const float* weight_scales,
                   const std::int16_t* x, const float* x_scales, std::size_t cols, std::size_t tile) {
  const hn::CappedTag<std::int16_t, kBlock / 2> d16;
  const hn::RepartitionToWide<decltype(d16)> d32;
  const hn::Rebind<float, decltype(d32)> df;
  const std::size_t lanes = hn::Lanes(d16);
  const std::size_t blocks = cols / kBlock;
  auto total0 = hn::Zero(df), total1 = total0, total2 = total0, total3 = total0;
  for (std::size_t block = 0; block < blocks; ++block) {
    auto sum0 = hn::Zero(d32), sum1 = sum0, sum2 = sum0, sum3 = sum0;
    auto odd0 = sum0, odd1 = sum0, odd2 = sum0, odd3 = sum0;
    const std::int16_t* w = weights + block * kBlock;
    for (std::size_t i = 0; i < kBlock; i += lanes) {
      const auto in = hn::LoadU(d16, x + block * kBlock + i);
      sum0 = hn::ReorderWidenMulAccumulate(d32, hn::LoadU(d16, w + i), in, sum0, odd0);
      sum1 = hn::ReorderWidenMulAccumulate(d32, hn::LoadU(d16, w + cols + i), in, sum1, odd1);
      sum2 = hn::ReorderWidenMulAccumulate(d32, hn::LoadU(d16, w + 2 * cols + i), in, sum2, odd2);
      sum3 = hn::ReorderWidenMulAccumulate(d32, hn::LoadU(d16, w + 3 * cols + i), in, sum3, odd3);
    }
    const float scale = x_scales[block];
    const auto add = [&](auto total, auto sum, auto odd, std::size_t row) HWY_ATTR {
      return hn::MulAdd(hn::ConvertTo(df, hn::Add(sum, odd)), hn::Set(df, scale * weight_scales[row * blocks + block]), total);
    };
    total0 = add(total0, sum0, odd0, 0);
    total1 = add(total1, sum1, odd1, 1);
    total2 = add(total2, sum2, odd2, 2);
    total3 = add(total3, sum3, odd3, 3);
  }
  const float totals[kTile] = {hn::GetLane(hn::SumOfLanes(df, total0)), hn::GetLane(hn::SumOfLanes(df, total1)),
                               hn::GetLane(hn::SumOfLanes(df, total2)), hn::GetLane(hn::SumOfLanes(df, total3))};
  for (std::size_t row = 0; row < tile; ++row) out[row * out_stride] = totals[row];
}

void matmul_integers(ThreadPool& pool, float* out, const float* x, const Matrix& matrix, std::size_t rows) {
  const auto outputs = static_cast<std::size_t>(matrix.rows);
  const auto cols = static_cast<std::size_t>(matrix.cols);
  const std::size_t blocks = cols / kBlock;
  const std::size_t blocks_per_group = static_cast<std::size_t>(matrix.group) / kBlock;
  thread_local Quantized shared;
  Quantized& activations = shared;  // a lambda sees its own thread's thread_local, so name the caller's here
  quantize(activations, x, rows, cols, matrix.type == WeightType::int4);
  pool.run(outputs, kTile, [&](std::size_t begin, std::size_t end) {
    thread_local std::vector<std::int16_t> weights;
    thread_local std::vector<float> scales;
    weights.resize(kTile * cols);
    scales.resize(kTile * blocks);
    for (std::size_t output = begin; output < end; output += kTile) {
      const std::size_t tile = std::min(kTile, end - output);
      for (std::size_t row = 0; row < tile; ++row) {
        const float* stored = matrix.scales.data() + (output + row) * (blocks / blocks_per_group);
        for (std::size_t block = 0; block < blocks; ++block) {
          unpack_block(matrix, output + row, block, weights.data() + row * cols + block * kBlock);
          scales[row * blocks + block] = stored[block / blocks_per_group];
        }
      }
      for (std::size_t row = 0; row < rows; ++row) {
        multiply_tile(out + row * outputs + output, 1, weights.data(), scales.data(), activations.values.data() + row * cols,
                      activations.scales.data() + row * blocks, cols, tile);
      }
    }
  });
}

void matmul(ThreadPool& pool, float* out, const float* x, const Matrix& matrix, std::size_t rows) {
  const bool integers = matrix.type == WeightType::int4 || matrix.type == WeightType::int8;
  if (integers && matrix.cols % static_cast<int>(kBlock) == 0 && matrix.group % static_cast<int>(kBlock) == 0) {
    matmul_integers(pool, out, x, matrix, rows);
  } else {
    matmul_floats(pool, out, x, matrix, rows);
  }
}

void embed(ThreadPool&, float* out, const Matrix& embedding, const TokenId* ids, std::size_t rows) {
  const auto width = static_cast<std::size_t>(embedding.cols);
  for (std::size_t row = 0; row < rows; ++row) expand_row(embedding, static_cast<std::size_t>(ids[row]), out + row * width);
}

void rms_norm(ThreadPool&, float* out, const float* x, const float* gain, std::size_t rows, std::size_t width, float eps) {
  const F d;
  const std::size_t lanes = hn::Lanes(d);
  for (std::size_t row = 0; row < rows; ++row) {
    const float* in = x + row * width;
    float* to = out + row * width;
    const float scale = 1 / std::sqrt(dot(in, in, width) / static_cast<float>(width) + eps);
    const auto factor = hn::Set(d, scale);
    std::size_t i = 0;
    for (; i + lanes <= width; i += lanes) {
      const auto normed = hn::Mul(hn::LoadU(d, in + i), factor);
      hn::StoreU(gain ? hn::Mul(normed, hn::LoadU(d, gain + i)) : normed, d, to + i);
    }
    for (; i < width; ++i) to[i] = in[i] * scale * (gain ? gain[i] : 1.0f);
  }
}

void rope(ThreadPool&, float* x, std::size_t rows, int heads, int head_dim, std::size_t first, double theta) {
  const auto dim = static_cast<std::size_t>(head_dim);
  const std::size_t half = dim / 2;
  std::vector<float> cosines(half), sines(half);
  for (std::size_t row = 0; row < rows; ++row) {
    for (std::size_t i = 0; i < half; ++i) {
      const double angle = static_cast<double>(first + row) * std::pow(theta, -2.0 * static_cast<double>(i) / head_dim);
      cosines[i] = static_cast<float>(std::cos(angle));
      sines[i] = static_cast<float>(std::sin(angle));
    }
    for (std::size_t head = 0; head < static_cast<std::size_t>(heads); ++head) {
      float* vector = x + (row * static_cast<std::size_t>(heads) + head) * dim;
      for (std::size_t i = 0; i < half; ++i) {
        const float a = vector[i];
        const float b = vector[i + half];
        vector[i] = a * cosines[i] - b * sines[i];
        vector[i + half] = b * cosines[i] + a * sines[i];
      }
    }
  }
}

// scores <- exp(scores - max), returning their sum.
float exponentiate(float* scores, std::size_t count) {
  const F d;
  const std::size_t lanes = hn::Lanes(d);
  float largest = scores[0];
  for (std::size_t i = 1; i < count; ++i) largest = std::max(largest, scores[i]);
  const auto shift = hn::Set(d, largest);
  auto sums = hn::Zero(d);
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto value = hn::Exp(d, hn::Sub(hn::LoadU(d, scores + i), shift));
    hn::StoreU(value, d, scores + i);
    sums = hn::Add(sums, value);
  }
  float sum = hn::GetLane(hn::SumOfLanes(d, sums));
  for (; i < count; ++i) sum += scores[i] = std::exp(scores[i] - largest);
  return sum;
}

void attention(ThreadPool& pool, float* out, const float* queries, const KvView& kv, const AttentionShape& shape,
               std::size_t rows, std::size_t first, std::size_t window) {
  const auto dim = static_cast<std::size_t>(shape.head_dim);
  const auto heads = static_cast<std::size_t>(shape.heads);
  const auto width = static_cast<std::size_t>(shape.kv_heads) * dim;
  const std::size_t heads_per_kv = heads / static_cast<std::size_t>(shape.kv_heads);
  const float scale = 1 / std::sqrt(static_cast<float>(dim));
  pool.run(rows * heads, 1, [&](std::size_t begin, std::size_t end) {
    thread_local std::vector<float> scores;
    for (std::size_t item = begin; item < end; ++item) {
      const std::size_t position = first + item / heads;
      const std::size_t from = window != 0 && position + 1 > window ? position + 1 - window : 0;
      const std::size_t count = position + 1 - from;
      const float* query = queries + item * dim;
      const std::size_t offset = item % heads / heads_per_kv * dim;
      scores.resize(count);
      for (std::size_t i = 0; i < count; ++i) scores[i] = dot(query, kv.keys + (from + i) % kv.capacity * width + offset, dim) * scale;
      const float inverse = 1 / exponentiate(scores.data(), count);
      float* result = out + item * dim;
      std::fill(result, result + dim, 0.0f);
      for (std::size_t i = 0; i < count; ++i) add_scaled(result, kv.values + (from + i) % kv.capacity * width + offset, scores[i] * inverse, dim);
    }
  });
}

void swiglu(ThreadPool&, float* out, const float* gate, const float* up, std::size_t count) {
  const F d;
  const std::size_t lanes = hn::Lanes(d);
  const auto one = hn::Set(d, 1.0f);
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto x = hn::LoadU(d, gate + i);
    const auto silu = hn::Div(x, hn::Add(one, hn::Exp(d, hn::Neg(x))));
    hn::StoreU(hn::Mul(silu, hn::LoadU(d, up + i)), d, out + i);
  }
  for (; i < count; ++i) out[i] = gate[i] / (1 + std::exp(-gate[i])) * up[i];
}

const char* target() { return hwy::TargetName(HWY_TARGET); }

Ops table() { return {embed, rms_norm, matmul, rope, attention, swiglu}; }

}  // namespace inference::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace inference {

HWY_EXPORT(table);
HWY_EXPORT(target);

const Ops& fast_ops() {
  static const Ops ops = HWY_DYNAMIC_DISPATCH(table)();
  return ops;
}

const char* fast_ops_target() { return HWY_DYNAMIC_DISPATCH(target)(); }

}  // namespace inference
#endif
