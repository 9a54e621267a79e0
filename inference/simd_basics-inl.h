// Vector helpers that the fast operations share; compiled once per instruction set (Highway's -inl.h convention).
#if defined(LOOPD_SIMD_BASICS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOOPD_SIMD_BASICS_INL_H_
#undef LOOPD_SIMD_BASICS_INL_H_
#else
#define LOOPD_SIMD_BASICS_INL_H_
#endif

#include <cmath>
#include <cstddef>

#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace inference::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using F = hn::ScalableTag<float>;

inline float dot(const float* a, const float* b, std::size_t count) {
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

inline float largest_magnitude(const float* values, std::size_t count) {
  const F d;
  const std::size_t lanes = hn::Lanes(d);
  auto best = hn::Zero(d);
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) best = hn::Max(best, hn::Abs(hn::LoadU(d, values + i)));
  float largest = hn::GetLane(hn::MaxOfLanes(d, best));
  for (; i < count; ++i) largest = std::fabs(values[i]) > largest ? std::fabs(values[i]) : largest;
  return largest;
}

inline float largest_of(const float* values, std::size_t count) {
  const F d;
  const std::size_t lanes = hn::Lanes(d);
  float largest = values[0];
  std::size_t i = 0;
  if (count >= lanes) {
    auto best = hn::LoadU(d, values);
    for (i = lanes; i + lanes <= count; i += lanes) best = hn::Max(best, hn::LoadU(d, values + i));
    largest = hn::GetLane(hn::MaxOfLanes(d, best));
  }
  for (; i < count; ++i) largest = values[i] > largest ? values[i] : largest;
  return largest;
}

// values <- exp(values - largest), returning their sum.
inline float exponentiate(float* values, std::size_t count) {
  const F d;
  const std::size_t lanes = hn::Lanes(d);
  const float largest = largest_of(values, count);
  const auto shift = hn::Set(d, largest);
  auto sums = hn::Zero(d);
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto value = hn::Exp(d, hn::Sub(hn::LoadU(d, values + i), shift));
    hn::StoreU(value, d, values + i);
    sums = hn::Add(sums, value);
  }
  float sum = hn::GetLane(hn::SumOfLanes(d, sums));
  for (; i < count; ++i) sum += values[i] = std::exp(values[i] - largest);
  return sum;
}

}  // namespace inference::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
