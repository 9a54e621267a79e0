// Lays out fill-in-the-middle prompts in the model's own format, leaving out a tail that the user is still typing.
#include <stdexcept>

#include "inference/engine.h"
#include "inference/model.h"

namespace inference {
namespace {

// Where the text's last pre-token could still grow as the user types: everything after the last token boundary that no
// further typing can move. Merges never cross a newline in the tokenizers loopd knows, so text that ends in one is
// settled; otherwise the last word, blank run or run of punctuation is open.
std::size_t settled_length(std::string_view text) {
  if (text.empty() || text.back() == '\n') return text.size();
  const auto kind = [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == ' ' || c == '\t') return 0;
    if ((byte | 32u) >= 'a' && (byte | 32u) <= 'z') return 1;
    if (byte >= 0x80) return 1;
    if (byte >= '0' && byte <= '9') return 2;
    return 3;
  };
  std::size_t start = text.size() - 1;
  const int last = kind(text[start]);
  if (last == 2) return text.size();  // every digit is a token of its own
  while (start > 0 && text[start - 1] != '\n' && kind(text[start - 1]) == last) --start;
  // A word takes the one blank or sign before it into its first token (" word", ".word", "(word").
  if (last == 1 && start > 0 && text[start - 1] != '\n' && kind(text[start - 1]) != 2) --start;
  if (last == 3 && start > 0 && text[start - 1] == ' ') --start;
  // Nobody types a word this long; spelling it out again would leave no tokens for a suggestion.
  constexpr std::size_t kLongestTail = 128;
  return text.size() - start > kLongestTail ? text.size() : start;
}

}  // namespace

Engine::Encoded Engine::encode_text(std::string_view text, bool special) const {
  return {tokenizer().encode(text, special), ""};
}

Engine::Encoded Engine::encode_fim(const FimPrompt& prompt) const {
  const Tokenizer& vocabulary = tokenizer();
  const auto require = [&](std::string_view literal) {
    const auto id = vocabulary.find_special(literal);
    if (!id) throw std::runtime_error(info_.model_dir + ": the tokenizer has no " + std::string(literal) + "; this model cannot fill in the middle");
    return *id;
  };
  if (fim_layout_ == FimLayout::none) require("<|fim_prefix|>");

  Encoded encoded;
  const auto add = [&](std::string_view text) {
    const auto ids = vocabulary.encode(text, false);
    encoded.tokens.insert(encoded.tokens.end(), ids.begin(), ids.end());
  };
  const auto separator = vocabulary.find_special("<|file_sep|>");
  const auto open_file = [&](std::string_view path) {
    if (!separator) return;
    encoded.tokens.push_back(*separator);
    add(std::string(path) + "\n");
  };
  for (const FimSegment& segment : prompt.segments) {
    open_file(segment.path);
    add(segment.text);
  }
  open_file(prompt.path);
  const auto suffix = [&] {
    encoded.tokens.push_back(require("<|fim_suffix|>"));
    add(prompt.suffix);
  };
  // The suffix first, where the model knows it so: then what is typed costs only its own tokens.
  if (fim_layout_ != FimLayout::prefix_suffix_middle) suffix();
  encoded.tokens.push_back(require("<|fim_prefix|>"));
  if (fim_layout_ == FimLayout::suffix_prefix_joined) {
    const std::size_t settled = settled_length(prompt.prefix);
    add(prompt.prefix.substr(0, settled));
    encoded.forced = prompt.prefix.substr(settled);
    return encoded;
  }
  add(prompt.prefix);
  if (fim_layout_ == FimLayout::prefix_suffix_middle) suffix();
  encoded.tokens.push_back(require("<|fim_middle|>"));
  return encoded;
}

}  // namespace inference
