// Positions: units of each encoding, clamping, and what is no character.
#include "lsp/position.h"

#include <doctest/doctest.h>

#include <string>

using lsp::PositionEncoding;

namespace {

constexpr PositionEncoding encodings[] = {PositionEncoding::utf8, PositionEncoding::utf16, PositionEncoding::utf32};

struct Row {
  const char* text;
  std::uint32_t line, character;
  std::size_t utf8, utf16, utf32;  // offsets
};

// a is one unit everywhere; ü two bytes; € three; 😀 four bytes and two UTF-16 units.
const Row rows[] = {
    {"abc", 0, 2, 2, 2, 2},
    {"abc", 0, 9, 3, 3, 3},
    {"abc", 5, 0, 3, 3, 3},
    {"", 0, 3, 0, 0, 0},
    {"aü€😀z", 0, 2, 1, 3, 3},
    {"aü€😀z", 0, 3, 3, 6, 6},
    {"aü€😀z", 0, 4, 3, 6, 10},
    {"aü€😀z", 0, 5, 3, 10, 11},
    {"aü€😀z", 0, 10, 10, 11, 11},
    {"a\r\nb\rc\nd", 0, 7, 1, 1, 1},
    {"a\r\nb\rc\nd", 1, 1, 4, 4, 4},
    {"a\r\nb\rc\nd", 2, 0, 5, 5, 5},
    {"a\r\nb\rc\nd", 3, 0, 7, 7, 7},
    {"a\r\nb\rc\nd", 3, 1, 8, 8, 8},
    {"x\xff\xfe\x80y", 0, 4, 4, 4, 4},          // invalid bytes are one unit each
    {"\xed\xa0\x80z", 0, 3, 3, 3, 3},            // an encoded surrogate is three invalid bytes
    {"\xc0\xaf", 0, 1, 1, 1, 1},                 // overlong
    {"\xf0\x9f\x98", 0, 3, 3, 3, 3},             // cut off
};

}  // namespace

TEST_CASE("positions become offsets") {
  for (const Row& row : rows) {
    const context::Document document(row.text, 1);
    CAPTURE(row.text);
    CAPTURE(row.line);
    CAPTURE(row.character);
    CHECK(to_offset(document, {row.line, row.character}, PositionEncoding::utf8) == row.utf8);
    CHECK(to_offset(document, {row.line, row.character}, PositionEncoding::utf16) == row.utf16);
    CHECK(to_offset(document, {row.line, row.character}, PositionEncoding::utf32) == row.utf32);
  }
}

TEST_CASE("offsets on character boundaries come back") {
  for (const char* text : {"aü€😀z\nß\r\n😀😀\r\n", "", "\n\n", "x\xff\xfe"}) {
    const context::Document document(text, 1);
    for (const PositionEncoding encoding : encodings) {
      for (std::size_t offset = 0; offset <= document.text().size(); ++offset) {
        const auto byte = static_cast<unsigned char>(offset < document.text().size() ? text[offset] : '\0');
        const bool inside_character = (byte & 0xC0) == 0x80;
        const bool inside_terminator = offset > 0 && text[offset - 1] == '\r' && byte == '\n';
        if (inside_character || inside_terminator) continue;
        CAPTURE(offset);
        CHECK(to_offset(document, to_position(document, offset, encoding), encoding) == offset);
      }
    }
  }
}

TEST_CASE("extreme positions are clamped") {
  const context::Document document("ab\ncd", 1);
  for (const PositionEncoding encoding : encodings) {
    CHECK(to_offset(document, {0, 0xFFFFFFFF}, encoding) == 2);
    CHECK(to_offset(document, {0xFFFFFFFF, 0xFFFFFFFF}, encoding) == 5);
    CHECK(to_position(document, 999, encoding).line == 1);
  }
}
