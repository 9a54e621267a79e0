// Lines of a text: where they end, how far they are indented, without the blanks behind them.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

namespace context {

// `text` without blanks and line ends at its end.
std::string_view right_trimmed(std::string_view text);

// Spaces and tabs in front of a line's text; its whole length where there is none.
std::size_t blanks(std::string_view line);

struct Line {
  std::size_t start = 0;
  std::size_t end = 0;     // without the line's terminator
  std::string_view text;  // right_trimmed()
};

// At least one; the last has no terminator and may be empty.
std::vector<Line> split_lines(std::string_view text);

}  // namespace context
