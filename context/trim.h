// Cuts generated text to what is worth showing: one line or one block, nothing that already stands behind the cursor.
#pragma once

#include <string>
#include <string_view>

#include "context/cursor.h"
#include "context/document.h"

namespace context {

// True as soon as `generated` holds all that may be shown, so that decoding can stop: the line is done (single_line) or
// the text has left the cursor's block by indentation or closing bracket. Called once per token.
bool is_complete(const Cursor& cursor, std::string_view line_prefix, std::string_view generated);

struct Trimmed {
  std::string text;            // to insert at the cursor
  std::size_t replace_after = 0;  // bytes behind the cursor, on its line, that `text` already contains and replaces
  std::string dropped;         // why text was cut or dropped, for the trace; empty where nothing was
};

// In order: the line or block rule, overlap with the suffix, unbalanced closing brackets, repeated lines, blanks at the
// end. An empty text means: show nothing, for the reason in `dropped`.
Trimmed trim(const Document& document, std::size_t offset, const Cursor& cursor, std::string_view generated);

}  // namespace context
