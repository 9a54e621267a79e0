// Finds the lines of a text.
#include "context/lines.h"

#include "context/lex.h"

namespace context {

std::string_view right_trimmed(std::string_view text) {
  while (!text.empty() && is_blank(text.back())) {
    text.remove_suffix(1);
  }
  return text;
}

std::size_t blanks(std::string_view line) {
  const std::size_t first = line.find_first_not_of(" \t");
  return first == std::string_view::npos ? line.size() : first;
}

std::vector<Line> split_lines(std::string_view text) {
  std::vector<Line> lines;
  for (std::size_t start = 0;;) {
    const std::size_t newline = text.find('\n', start);
    const std::size_t end = newline == std::string_view::npos ? text.size() : newline;
    lines.push_back({start, end, right_trimmed(text.substr(start, end - start))});
    if (newline == std::string_view::npos) {
      return lines;
    }
    start = newline + 1;
  }
}

}  // namespace context
