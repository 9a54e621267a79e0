// Masks tokens that contradict typed bytes.
#include "inference/byte_constraint.h"

#include <algorithm>

#include "inference/sampler.h"

namespace inference {

void ByteConstraint::mask(std::span<float> logits) const {
  if (!active()) return;
  for (std::size_t id = 0; id < logits.size(); ++id) {
    const bool known = id < tokenizer_->size() && !tokenizer_->is_special(static_cast<TokenId>(id));
    const std::string_view bytes = known ? tokenizer_->bytes(static_cast<TokenId>(id)) : std::string_view();
    const std::size_t shared = std::min(bytes.size(), owed_.size());
    if (shared == 0 || bytes.substr(0, shared) != std::string_view(owed_).substr(0, shared)) logits[id] = kForbidden;
  }
}

std::string_view ByteConstraint::accept(TokenId token) {
  const std::string_view bytes = tokenizer_->bytes(token);
  const std::size_t paid = std::min(bytes.size(), owed_.size());
  owed_.erase(0, paid);
  return bytes.substr(paid);
}

}  // namespace inference
