// Encodes and decodes: added tokens atomically, the rest piece by piece through byte-pair merging.
#include "inference/tokenizer.h"

#include <algorithm>
#include <stdexcept>

#include "inference/tokenizer_state.h"

namespace inference {

Tokenizer::Tokenizer(std::unique_ptr<State> state) : state_(std::move(state)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

std::vector<TokenId> Tokenizer::encode(std::string_view text, bool special) const {
  std::vector<TokenId> ids;
  const auto encode_plain = [&](std::string_view plain) {
    for (const std::string_view piece : state_->pretokenizer.split(plain)) {
      if (!state_->whole_pieces.empty()) {
        const auto whole = state_->whole_pieces.find(std::string(piece));
        if (whole != state_->whole_pieces.end()) {
          ids.push_back(whole->second);
          continue;
        }
      }
      state_->bpe->encode(piece, ids);
    }
  };
  std::size_t done = 0;
  for (std::size_t i = 0; special && i < text.size();) {
    const auto starts_here = [&](const State::Added& token) { return text.substr(i).starts_with(token.text); };
    const auto token = std::find_if(state_->added.begin(), state_->added.end(), starts_here);
    if (token == state_->added.end()) {
      ++i;
      continue;
    }
    encode_plain(text.substr(done, i - done));
    ids.push_back(token->id);
    done = i += token->text.size();
  }
  encode_plain(text.substr(done));
  return ids;
}

std::string Tokenizer::decode(std::span<const TokenId> ids) const {
  std::string text;
  for (const TokenId id : ids) text += bytes(id);
  return text;
}

std::string_view Tokenizer::bytes(TokenId id) const {
  if (id < 0 || static_cast<std::size_t>(id) >= state_->bytes.size()) {
    throw std::out_of_range("token id " + std::to_string(id) + " is outside the vocabulary of " + std::to_string(size()));
  }
  return state_->bytes[static_cast<std::size_t>(id)];
}

bool Tokenizer::is_special(TokenId id) const {
  return id >= 0 && static_cast<std::size_t>(id) < state_->special.size() && state_->special[static_cast<std::size_t>(id)];
}

std::optional<TokenId> Tokenizer::find_special(std::string_view literal) const {
  for (const State::Added& token : state_->added) {
    if (token.text == literal) return token.id;
  }
  return std::nullopt;
}

std::size_t Tokenizer::size() const { return state_->bytes.size(); }

}  // namespace inference
