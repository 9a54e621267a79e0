// Byte-level BPE as stored in a Hugging Face tokenizer.json: text to token ids and back, byte for byte.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace inference {

using TokenId = int;

// Immutable after load, so any thread may use it.
class Tokenizer {
 public:
  // Reads DIR/tokenizer.json. Throws std::runtime_error naming the file, the key and what was expected.
  static Tokenizer load(const std::string& file);
  static Tokenizer parse(std::string_view json, const std::string& name);
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  // Added tokens ("<|fim_prefix|>") are matched atomically, longest first, when `special` is true; with false they are
  // encoded as the plain text they are, which is what untrusted buffer text needs. Invalid UTF-8 survives the trip.
  std::vector<TokenId> encode(std::string_view text, bool special = true) const;
  // Exact inverse of encode for every byte string. Ids outside the vocabulary throw std::out_of_range.
  std::string decode(std::span<const TokenId> ids) const;
  // The bytes one token stands for; an added token's are its literal text.
  std::string_view bytes(TokenId id) const;
  bool is_special(TokenId id) const;
  std::optional<TokenId> find_special(std::string_view literal) const;
  // One past the largest id.
  std::size_t size() const;

 private:
  friend class TokenizerReader;
  struct State;
  explicit Tokenizer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace inference
