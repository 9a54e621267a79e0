// Checks an edit with the parser before it is shown: it may not break what parsed before.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "context/document.h"
#include "context/syntax.h"

namespace context {

struct Verdict {
  bool ok = true;
  std::size_t errors_before = 0;  // ERROR and MISSING nodes in the whole text before the edit
  std::size_t errors_after = 0;
  // Where the first new error starts, as an offset into the inserted text (its size where the fault lies behind it).
  std::size_t fault = 0;
};

// Parses the text with `insertion` in place of [offset, offset + replaced) and compares error counts: more than before
// is a fault. A null tree is always ok.
Verdict check_insertion(const Document& document, const SyntaxTree* tree, std::size_t offset, std::size_t replaced,
                        std::string_view insertion);

// A syntactic chunk of an insertion: bytes [start, end) of it, and what it is about ("condition", "return", "call").
struct Step {
  std::size_t start = 0;
  std::size_t end = 0;
  std::string focus;
};

// Splits an insertion into statements (or the parts of one, where it is a single one), in order and without gaps.
std::vector<Step> split_steps(const Document& document, const SyntaxTree* tree, std::size_t offset,
                              std::size_t replaced, std::string_view insertion);

}  // namespace context
