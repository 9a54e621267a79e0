// Keeps the line index of an immutable text and carries it over from edit to edit.
#include "context/document.h"

#include <algorithm>
#include <utility>

namespace context {

namespace {

// Appends the start of every line that a terminator in [from, to) opens. A "\r\n" counts once, at its "\n".
void index_lines(const std::string& text, std::size_t from, std::size_t to, std::vector<std::size_t>& starts,
                 bool& lone_cr) {
  for (std::size_t i = from; i < to; ++i) {
    if (text[i] == '\n') {
      starts.push_back(i + 1);
    } else if (text[i] == '\r' && (i + 1 == text.size() || text[i + 1] != '\n')) {
      starts.push_back(i + 1);
      lone_cr = true;
    }
  }
}

}  // namespace

Document::Document(std::string text, std::int64_t version) : text_(std::move(text)), version_(version) {
  line_starts_.push_back(0);
  index_lines(text_, 0, text_.size(), line_starts_, lone_cr_);
}

Document::Document(std::string text, std::int64_t version, std::vector<std::size_t> line_starts, bool lone_cr)
    : text_(std::move(text)), version_(version), line_starts_(std::move(line_starts)), lone_cr_(lone_cr) {}

std::size_t Document::line_start(std::size_t line) const {
  return line < line_starts_.size() ? line_starts_[line] : text_.size();
}

std::size_t Document::line_end(std::size_t line) const {
  if (line + 1 >= line_starts_.size()) {
    return text_.size();
  }
  const std::size_t next = line_starts_[line + 1];
  const bool crlf = next >= 2 && text_[next - 1] == '\n' && text_[next - 2] == '\r';
  return next - (crlf ? 2 : 1);
}

std::size_t Document::line_of(std::size_t offset) const {
  const auto after = std::upper_bound(line_starts_.begin(), line_starts_.end(), offset);
  return static_cast<std::size_t>(after - line_starts_.begin()) - 1;
}

Point Document::point_at(std::size_t offset) const {
  offset = std::min(offset, text_.size());
  const std::size_t line = line_of(offset);
  return {static_cast<std::uint32_t>(line), static_cast<std::uint32_t>(offset - line_starts_[line])};
}

Point Document::parser_point(std::size_t offset) const {
  if (!lone_cr_) {
    return point_at(offset);
  }
  const auto end = text_.begin() + static_cast<std::ptrdiff_t>(offset);
  const auto rows = std::count(text_.begin(), end, '\n');
  const std::size_t newline = offset == 0 ? std::string::npos : text_.rfind('\n', offset - 1);
  const std::size_t row_start = newline == std::string::npos ? 0 : newline + 1;
  return {static_cast<std::uint32_t>(rows), static_cast<std::uint32_t>(offset - row_start)};
}

std::shared_ptr<const Document> Document::with_edit(std::size_t start, std::size_t end,
                                                    const std::string& replacement, std::int64_t version,
                                                    AppliedEdit* applied) const {
  start = std::min(start, text_.size());
  end = std::clamp(end, start, text_.size());
  std::string text;
  text.reserve(text_.size() - (end - start) + replacement.size());
  text.append(text_, 0, start).append(replacement).append(text_, end, std::string::npos);
  const std::size_t new_end = start + replacement.size();

  // Lines that start at or before start - 1 cannot change: the byte that opened them, and the one after it, which
  // decides whether a "\r" stands alone, lie before the edit.
  const std::size_t stable = start == 0 ? 0 : start - 1;
  const auto kept = std::upper_bound(line_starts_.begin(), line_starts_.end(), stable);
  std::vector<std::size_t> starts(line_starts_.begin(), kept);
  bool lone_cr = lone_cr_;
  index_lines(text, stable, new_end, starts, lone_cr);
  // Terminators behind the edit stay what they were; the line that such a one opens starts after old `end`.
  for (auto line = std::upper_bound(line_starts_.begin(), line_starts_.end(), end); line != line_starts_.end(); ++line) {
    starts.push_back(*line - end + new_end);
  }

  std::shared_ptr<const Document> after(new Document(std::move(text), version, std::move(starts), lone_cr));
  if (applied != nullptr) {
    applied->start = start;
    applied->old_end = end;
    applied->new_end = new_end;
    applied->start_point = parser_point(start);
    applied->old_end_point = parser_point(end);
    applied->new_end_point = after->parser_point(new_end);
  }
  return after;
}

}  // namespace context
