// Greedy and nucleus sampling.
#include "inference/sampler.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "inference/ops.h"

namespace inference {
namespace {

TokenId nucleus(std::span<const float> masked, float temperature, float top_p, std::mt19937_64& random) {
  const float largest = *std::max_element(masked.begin(), masked.end());
  std::vector<TokenId> order(masked.size());
  std::iota(order.begin(), order.end(), 0);
  const auto weight = [&](TokenId id) { return std::exp((masked[static_cast<std::size_t>(id)] - largest) / temperature); };
  std::stable_sort(order.begin(), order.end(), [&](TokenId a, TokenId b) { return masked[static_cast<std::size_t>(a)] > masked[static_cast<std::size_t>(b)]; });
  double total = 0;
  for (const TokenId id : order) total += static_cast<double>(weight(id));
  // The smallest set of likeliest tokens that holds top_p of the mass; never empty.
  double mass = 0;
  std::size_t kept = 0;
  while (kept < order.size() && (kept == 0 || mass < static_cast<double>(top_p) * total)) mass += static_cast<double>(weight(order[kept++]));
  // 53 bits to [0, 1): the same on every standard library, which uniform_real_distribution is not.
  double left = static_cast<double>(random() >> 11) * 0x1p-53 * mass;
  for (std::size_t i = 0; i < kept; ++i) {
    left -= static_cast<double>(weight(order[i]));
    if (left < 0) return order[i];
  }
  return order[kept - 1];
}

}  // namespace

Sampled Sampler::pick(std::span<const float> logits, std::span<const float> masked) {
  Sampled sampled;
  if (temperature_ > 0) {
    sampled.token = nucleus(masked, temperature_, top_p_, random_);
  } else {
    sampled.token = static_cast<TokenId>(largest_index(masked.data(), masked.size()));
  }
  sampled.logprob = logits[static_cast<std::size_t>(sampled.token)] - log_sum_exp(logits.data(), logits.size());
  return sampled;
}

}  // namespace inference
