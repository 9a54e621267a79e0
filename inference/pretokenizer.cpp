// Pre-tokenization with PCRE2: UTF-8, Unicode properties, just-in-time compiled.
#define PCRE2_CODE_UNIT_WIDTH 8
#include "inference/pretokenizer.h"

#include <pcre2.h>

#include <stdexcept>

namespace inference {

struct PreTokenizer::Pattern {
  pcre2_code* code = nullptr;
  ~Pattern() { pcre2_code_free(code); }
};

PreTokenizer::PreTokenizer() = default;
PreTokenizer::PreTokenizer(PreTokenizer&&) noexcept = default;
PreTokenizer& PreTokenizer::operator=(PreTokenizer&&) noexcept = default;
PreTokenizer::~PreTokenizer() = default;

void PreTokenizer::add_split(const std::string& regex) {
  int error = 0;
  PCRE2_SIZE offset = 0;
  auto pattern = std::make_unique<Pattern>();
  pattern->code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(regex.data()), regex.size(),
                                PCRE2_UTF | PCRE2_UCP | PCRE2_MATCH_INVALID_UTF, &error, &offset, nullptr);
  if (!pattern->code) {
    PCRE2_UCHAR message[256];
    pcre2_get_error_message(error, message, sizeof message);
    throw std::runtime_error("pre-tokenizer pattern, offset " + std::to_string(offset) + ": " + reinterpret_cast<const char*>(message));
  }
  pcre2_jit_compile(pattern->code, PCRE2_JIT_COMPLETE);  // without JIT support matching is slower, and the same
  patterns_.push_back(std::move(pattern));
}

namespace {

void split_piece(const pcre2_code* code, std::string_view piece, std::vector<std::string_view>& pieces) {
  const std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)> match(pcre2_match_data_create_from_pattern(code, nullptr), pcre2_match_data_free);
  std::size_t done = 0;
  std::size_t from = 0;
  while (from < piece.size()) {
    const int found = pcre2_match(code, reinterpret_cast<PCRE2_SPTR>(piece.data()), piece.size(), from, PCRE2_NOTEMPTY, match.get(), nullptr);
    if (found < 0) break;  // no further match, or a match limit was hit: the rest stays one piece
    const PCRE2_SIZE* ends = pcre2_get_ovector_pointer(match.get());
    if (ends[0] > done) pieces.push_back(piece.substr(done, ends[0] - done));
    pieces.push_back(piece.substr(ends[0], ends[1] - ends[0]));
    done = from = ends[1];
  }
  if (done < piece.size()) pieces.push_back(piece.substr(done));
}

}  // namespace

std::vector<std::string_view> PreTokenizer::split(std::string_view text) const {
  std::vector<std::string_view> pieces;
  if (!text.empty()) pieces.push_back(text);
  for (const auto& pattern : patterns_) {
    std::vector<std::string_view> finer;
    for (const std::string_view piece : pieces) split_piece(pattern->code, piece, finer);
    pieces = std::move(finer);
  }
  return pieces;
}

}  // namespace inference
