// Positions as clients count them (UTF-16 code units, UTF-8 bytes or code points) to byte offsets and back.
#pragma once

#include <cstddef>
#include <cstdint>

#include "context/document.h"

namespace lsp {

enum class PositionEncoding { utf8, utf16, utf32 };

// Zero-based line, and units of the negotiated encoding from its start.
struct Position {
  std::uint32_t line = 0;
  std::uint32_t character = 0;
};

struct Range {
  Position start, end;
};

// Total: a line past the end gives the end of the text, a character past the line's end the line's end (before its
// terminator), and a position inside a character (half of a surrogate pair, a continuation byte) that character's start.
std::size_t to_offset(const context::Document& document, Position position, PositionEncoding encoding);

// Inverse of to_offset for offsets on character boundaries; offsets past the end are clamped. A byte that is not valid
// UTF-8 counts as one unit in every encoding.
Position to_position(const context::Document& document, std::size_t offset, PositionEncoding encoding);

}  // namespace lsp
