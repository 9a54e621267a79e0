// Where generated text leaves the cursor's block: by indentation, or by a closing bracket.
#pragma once

#include <cstddef>
#include <string_view>

#include "context/cursor.h"

namespace context {

// Offsets into the generated text; npos: not in it.
struct BlockEnd {
  std::size_t end = std::string_view::npos;     // of the part that belongs to the block
  char stray = 0;                               // the bracket at `end` that leaves the block, if one does
  std::size_t closer = std::string_view::npos;  // where the block that the cursor's line opened is closed
};

// The end is just before a closing bracket that nothing in the line or the text opened, or behind the line that closes the
// block which the cursor's line opened.
BlockEnd end_by_bracket(const Cursor& cursor, std::string_view line_prefix, std::string_view generated);

// The same by what the language goes by. A line that is still being generated counts only where `finished` says that no
// more will come.
BlockEnd block_end(const Cursor& cursor, std::string_view line_prefix, std::string_view generated, bool finished);

}  // namespace context
