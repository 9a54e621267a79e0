// Holds generation to bytes the user has already typed, so that a cut inside a token costs no quality.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "inference/tokenizer.h"

namespace inference {

// The prompt stops before the last typed piece ("retu"), and the first tokens generated must spell it out: a token is
// allowed when its bytes and the bytes still owed agree as far as the shorter goes ("return" for "retu").
class ByteConstraint {
 public:
  ByteConstraint(const Tokenizer& tokenizer, std::string forced) : tokenizer_(&tokenizer), owed_(std::move(forced)) {}

  bool active() const { return !owed_.empty(); }
  // Forbids in `logits` every token that contradicts the bytes owed. Some token always remains: the single bytes do.
  void mask(std::span<float> logits) const;
  // Takes a token's bytes and returns those beyond what was owed.
  std::string_view accept(TokenId token);

 private:
  const Tokenizer* tokenizer_;
  std::string owed_;
};

}  // namespace inference
