// The operations with SIMD through Highway, compiled once per instruction set and chosen at run time, and with threads.

// The set with 8-bit dot products (VNNI) is off by default in Highway; it is what int4 weights run fastest on.
#define HWY_WANT_AVX3_DL 1
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "inference/ops_simd.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"

#include <cmath>
#include <vector>

#include "inference/attention-inl.h"
#include "inference/matmul-inl.h"
#include "inference/ops.h"
#include "inference/simd_basics-inl.h"

HWY_BEFORE_NAMESPACE();
namespace inference::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

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
  std::vector<double> frequencies(half);
  std::vector<float> cosines(half), sines(half);
  for (std::size_t i = 0; i < half; ++i) frequencies[i] = std::pow(theta, -2.0 * static_cast<double>(i) / head_dim);
  for (std::size_t row = 0; row < rows; ++row) {
    for (std::size_t i = 0; i < half; ++i) {
      const double angle = static_cast<double>(first + row) * frequencies[i];
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
