// Picks the next token from logits: greedy or by temperature and nucleus, under a mask of allowed tokens.
#pragma once

#include <cstdint>
#include <random>
#include <span>

#include "inference/tokenizer.h"

namespace inference {

struct Sampled {
  TokenId token = 0;
  float logprob = 0;  // natural log of its probability before temperature and mask
};

// Forbids a token by setting its logit to this.
constexpr float kForbidden = -1e30f;

class Sampler {
 public:
  // temperature 0 is greedy: the largest logit, the smaller id among equals. top_p in (0, 1].
  Sampler(float temperature, float top_p, std::uint64_t seed) : temperature_(temperature), top_p_(top_p), random_(seed) {}

  // `masked` are the logits with forbidden tokens masked; `logits` as the model gave them.
  Sampled pick(std::span<const float> logits, std::span<const float> masked);

 private:
  float temperature_;
  float top_p_;
  std::mt19937_64 random_;
};

}  // namespace inference
