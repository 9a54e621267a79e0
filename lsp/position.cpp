// Walks one line's characters; lines are found through the document's index, so the cost is that of a line.
#include "lsp/position.h"

#include <algorithm>
#include <string_view>

namespace lsp {
namespace {

struct Character {
  std::size_t bytes = 1;
  std::size_t utf16 = 1;
};

bool continuation(unsigned char c) { return (c & 0xC0) == 0x80; }

// The character at the start of `text`, which is not empty. Overlong forms, surrogates and cut-off sequences are
// invalid: their first byte is a character of its own.
Character first_character(std::string_view text) {
  const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U; };
  const unsigned char lead = static_cast<unsigned char>(text[0]);
  if (lead < 0xC2 || lead > 0xF4) return {1, 1};
  if (!continuation(static_cast<unsigned char>(byte(1)))) return {1, 1};
  if (lead < 0xE0) return {2, 1};
  if (!continuation(static_cast<unsigned char>(byte(2)))) return {1, 1};
  if (lead < 0xF0) {
    const bool overlong = lead == 0xE0 && byte(1) < 0xA0;
    const bool surrogate = lead == 0xED && byte(1) >= 0xA0;
    return overlong || surrogate ? Character{1, 1} : Character{3, 1};
  }
  if (!continuation(static_cast<unsigned char>(byte(3)))) return {1, 1};
  const bool out_of_range = (lead == 0xF0 && byte(1) < 0x90) || (lead == 0xF4 && byte(1) >= 0x90);
  return out_of_range ? Character{1, 1} : Character{4, 2};
}

std::size_t units(Character character, PositionEncoding encoding) {
  switch (encoding) {
    case PositionEncoding::utf8: return character.bytes;
    case PositionEncoding::utf16: return character.utf16;
    case PositionEncoding::utf32: break;
  }
  return 1;
}

}  // namespace

std::size_t to_offset(const context::Document& document, Position position, PositionEncoding encoding) {
  if (position.line >= document.line_count()) return document.text().size();
  const std::size_t start = document.line_start(position.line);
  std::string_view line(document.text());
  line = line.substr(start, document.line_end(position.line) - start);
  std::size_t offset = 0;
  std::size_t passed = 0;
  while (offset < line.size()) {
    const Character character = first_character(line.substr(offset));
    passed += units(character, encoding);
    if (passed > position.character) break;
    offset += character.bytes;
  }
  return start + offset;
}

Position to_position(const context::Document& document, std::size_t offset, PositionEncoding encoding) {
  offset = std::min(offset, document.text().size());
  const std::size_t line = document.line_of(offset);
  const std::size_t start = document.line_start(line);
  const std::string_view before = std::string_view(document.text()).substr(start, offset - start);
  std::size_t passed = 0;
  for (std::size_t at = 0; at < before.size();) {
    const Character character = first_character(before.substr(at));
    passed += units(character, encoding);
    at += character.bytes;
  }
  return {static_cast<std::uint32_t>(line), static_cast<std::uint32_t>(passed)};
}

}  // namespace lsp
