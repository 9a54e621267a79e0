// Reads a fragment without a tree: which brackets are open at its end, and whether it ends in a string or a comment.
//
// tree-sitter answers this for healthy code. Half-typed code (an open quote, a missing bracket) makes its recovery
// regroup everything behind the fault, and generated text has no tree yet; this reader looks only at what stands
// before the cursor, so nothing behind it can change the answer.
#pragma once

#include <cstddef>
#include <string_view>
#include <utility>
#include <vector>

#include "context/language.h"

namespace context {

struct Bracket {
  char kind = '(';          // one of ( [ {, or a closing one in Lexed::stray
  std::size_t offset = 0;
  bool interpolation = false;  // the "{" of an f-string or "${" of a template literal
  // Where the bracket is an interpolation: the string around it, resumed when it closes.
  char quote = 0;
  bool triple = false;
};

enum class LexMode { code, line_comment, block_comment, string };

struct Lexed {
  std::vector<Bracket> open;   // outermost first
  std::vector<Bracket> stray;  // closing brackets whose partner stands before the fragment, if anywhere
  std::vector<std::pair<std::size_t, std::size_t>> pairs;  // offsets of brackets that were closed, and of their partners
  std::size_t left_open = 0;  // brackets that ended with the one around them
  LexMode mode = LexMode::code;
  std::size_t mode_start = 0;  // offset of the string or comment that the fragment ends in
};

Lexed lex(Language language, std::string_view text);

inline bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         static_cast<unsigned char>(c) >= 0x80;
}
inline bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

}  // namespace context
