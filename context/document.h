// An open buffer as an immutable snapshot: text, version and line index; an edit makes a new snapshot.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace context {

// A place in a text: zero-based row and column, the column in bytes (tree-sitter's convention).
struct Point {
  std::uint32_t row = 0;
  std::uint32_t column = 0;
};

// One replacement as it was applied, in the coordinates tree-sitter's incremental parser asks for: bytes and points of
// the text before (start, old_end) and after (new_end) this very edit.
struct AppliedEdit {
  std::size_t start = 0;
  std::size_t old_end = 0;
  std::size_t new_end = 0;
  Point start_point, old_end_point, new_end_point;  // rows end at "\n" alone, as the parser counts them
};

// Never changes after construction, so any thread may read it without a lock.
class Document {
 public:
  Document(std::string text, std::int64_t version);

  const std::string& text() const { return text_; }
  std::int64_t version() const { return version_; }

  // Lines end at "\n", "\r\n" or a lone "\r" (the three that LSP names). There is always at least one line.
  std::size_t line_count() const { return line_starts_.size(); }
  // Byte offset of the line's first byte; lines past the end give text().size().
  std::size_t line_start(std::size_t line) const;
  // Byte offset just after the line's last byte, its terminator not included.
  std::size_t line_end(std::size_t line) const;
  std::size_t line_of(std::size_t offset) const;
  Point point_at(std::size_t offset) const;

  // The snapshot after bytes [start, end) became `replacement`; `applied`, where given, receives the edit's coordinates.
  // Offsets past the end are clamped, and an inverted range is taken as an insertion at `start`.
  std::shared_ptr<const Document> with_edit(std::size_t start, std::size_t end, const std::string& replacement,
                                            std::int64_t version, AppliedEdit* applied = nullptr) const;

 private:
  Document(std::string text, std::int64_t version, std::vector<std::size_t> line_starts, bool lone_cr);
  // Like point_at, with rows that end at "\n" only.
  Point parser_point(std::size_t offset) const;

  std::string text_;
  std::int64_t version_;
  std::vector<std::size_t> line_starts_;
  bool lone_cr_ = false;  // a "\r" without "\n" was seen, so rows of the parser and lines of LSP may differ
};

}  // namespace context
