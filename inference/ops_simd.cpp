// The operations with SIMD through Highway, compiled once per instruction set and chosen at run time, and with threads.

// The set with 8-bit dot products (VNNI) is off by default in Highway; it is what int4 weights run fastest on.
#define HWY_WANT_AVX3_DL 1
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "inference/ops_simd.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"

#include <algorithm>
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

// Rows that are worth another thread: fewer are done before one wakes.
constexpr std::size_t kRowGrain = 8;

inline void rms_norm_row(float* to, const float* in, const float* gain, std::size_t width, float eps) {
  const F d;
  const std::size_t lanes = hn::Lanes(d);
  const float scale = 1 / std::sqrt(dot(in, in, width) / static_cast<float>(width) + eps);
  const auto factor = hn::Set(d, scale);
  std::size_t i = 0;
  for (; i + lanes <= width; i += lanes) {
    const auto normed = hn::Mul(hn::LoadU(d, in + i), factor);
    hn::StoreU(gain ? hn::Mul(normed, hn::LoadU(d, gain + i)) : normed, d, to + i);
  }
  for (; i < width; ++i) to[i] = in[i] * scale * (gain ? gain[i] : 1.0f);
}

void rms_norm(ThreadPool& pool, float* out, const float* x, const float* gain, std::size_t rows, std::size_t width, float eps) {
  // Heads are short rows: what counts is values, not rows.
  const std::size_t grain = std::max(kRowGrain, kRowGrain * 512 / width);
  pool.run(rows, grain, [&](std::size_t begin, std::size_t end) {
    for (std::size_t row = begin; row < end; ++row) rms_norm_row(out + row * width, x + row * width, gain, width, eps);
  });
}

// Sines and cosines of a run of positions. All layers and loops rotate by the same angles, so the last table is kept.
struct Angles {
  std::size_t rows = 0, first = 0;
  int head_dim = 0;
  double theta = 0;
  std::vector<float> cosines, sines;  // [rows][head_dim / 2]
};

inline const Angles& angles_of(std::size_t rows, int head_dim, std::size_t first, double theta) {
  thread_local Angles kept;
  if (rows <= kept.rows && first == kept.first && head_dim == kept.head_dim && theta == kept.theta) return kept;
  const std::size_t half = static_cast<std::size_t>(head_dim) / 2;
  kept.rows = rows, kept.first = first, kept.head_dim = head_dim, kept.theta = theta;
  kept.cosines.resize(rows * half);
  kept.sines.resize(rows * half);
  for (std::size_t i = 0; i < half; ++i) {
    const double frequency = std::pow(theta, -2.0 * static_cast<double>(i) / head_dim);
    for (std::size_t row = 0; row < rows; ++row) {
      const double angle = static_cast<double>(first + row) * frequency;
      kept.cosines[row * half + i] = static_cast<float>(std::cos(angle));
      kept.sines[row * half + i] = static_cast<float>(std::sin(angle));
    }
  }
  return kept;
}

void rope(ThreadPool& pool, float* x, std::size_t rows, int heads, int head_dim, std::size_t first, double theta) {
  const auto dim = static_cast<std::size_t>(head_dim);
  const std::size_t half = dim / 2;
  const Angles& angles = angles_of(rows, head_dim, first, theta);
  pool.run(rows, kRowGrain, [&](std::size_t begin, std::size_t end) {
    const F d;
    const std::size_t lanes = hn::Lanes(d);
    for (std::size_t row = begin; row < end; ++row) {
      const float* cosines = angles.cosines.data() + row * half;
      const float* sines = angles.sines.data() + row * half;
      for (std::size_t head = 0; head < static_cast<std::size_t>(heads); ++head) {
        float* low = x + (row * static_cast<std::size_t>(heads) + head) * dim;
        float* high = low + half;
        std::size_t i = 0;
        for (; i + lanes <= half; i += lanes) {
          const auto a = hn::LoadU(d, low + i), b = hn::LoadU(d, high + i);
          const auto cosine = hn::LoadU(d, cosines + i), sine = hn::LoadU(d, sines + i);
          hn::StoreU(hn::NegMulAdd(b, sine, hn::Mul(a, cosine)), d, low + i);
          hn::StoreU(hn::MulAdd(a, sine, hn::Mul(b, cosine)), d, high + i);
        }
        for (; i < half; ++i) {
          const float a = low[i], b = high[i];
          low[i] = a * cosines[i] - b * sines[i];
          high[i] = b * cosines[i] + a * sines[i];
        }
      }
    }
  });
}

void swiglu(ThreadPool& pool, float* out, const float* gate, const float* up, std::size_t count) {
  pool.run(count, 8192, [&](std::size_t begin, std::size_t end) {
    const F d;
    const std::size_t lanes = hn::Lanes(d);
    const auto one = hn::Set(d, 1.0f);
    std::size_t i = begin;
    for (; i + lanes <= end; i += lanes) {
      const auto x = hn::LoadU(d, gate + i);
      const auto silu = hn::Div(x, hn::Add(one, hn::Exp(d, hn::Neg(x))));
      hn::StoreU(hn::Mul(silu, hn::LoadU(d, up + i)), d, out + i);
    }
    // The rest in a vector of its own, so that a value does not depend on where in a batch it stands.
    for (; i < end; ++i) {
      const auto x = hn::Set(d, gate[i]);
      out[i] = hn::GetLane(hn::Mul(hn::Div(x, hn::Add(one, hn::Exp(d, hn::Neg(x)))), hn::Set(d, up[i])));
    }
  });
}

std::size_t find_largest(const float* values, std::size_t count) {
  const F d;
  const std::size_t lanes = hn::Lanes(d);
  const float largest = largest_of(values, count);
  const auto wanted = hn::Set(d, largest);
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto found = hn::FindFirstTrue(d, hn::Eq(hn::LoadU(d, values + i), wanted));
    if (found >= 0) return i + static_cast<std::size_t>(found);
  }
  for (; i < count; ++i) {
    if (values[i] == largest) return i;
  }
  return 0;
}

float sum_exponentials(const float* values, std::size_t count) {
  const F d;
  const std::size_t lanes = hn::Lanes(d);
  const float largest = largest_of(values, count);
  const auto shift = hn::Set(d, largest);
  auto sums = hn::Zero(d);
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) sums = hn::Add(sums, hn::Exp(d, hn::Sub(hn::LoadU(d, values + i), shift)));
  float sum = hn::GetLane(hn::SumOfLanes(d, sums));
  for (; i < count; ++i) sum += std::exp(values[i] - largest);
  return largest + std::log(sum);
}

const char* target() { return hwy::TargetName(HWY_TARGET); }

Ops table() { return {embed, rms_norm, matmul, rope, store, attention, swiglu}; }

}  // namespace inference::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace inference {

HWY_EXPORT(table);
HWY_EXPORT(target);
HWY_EXPORT(find_largest);
HWY_EXPORT(sum_exponentials);

const Ops& fast_ops() {
  static const Ops ops = HWY_DYNAMIC_DISPATCH(table)();
  return ops;
}

std::vector<NamedOps> every_fast_ops() {
  std::vector<NamedOps> tables;
  for (std::int64_t left = hwy::SupportedTargets(); left != 0; left &= left - 1) {
    const std::int64_t one = left & -left;
    hwy::SetSupportedTargetsForTest(one);
    hwy::GetChosenTarget().Update(one);
    tables.push_back({HWY_DYNAMIC_DISPATCH(target)(), HWY_DYNAMIC_DISPATCH(table)()});
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  return tables;
}

std::size_t largest_index(const float* values, std::size_t count) { return HWY_DYNAMIC_DISPATCH(find_largest)(values, count); }
float log_sum_exp(const float* values, std::size_t count) { return HWY_DYNAMIC_DISPATCH(sum_exponentials)(values, count); }

const char* fast_ops_target() { return HWY_DYNAMIC_DISPATCH(target)(); }

}  // namespace inference
#endif
