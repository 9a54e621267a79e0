// An editor's buffer under somebody's fingers: brackets and quotes that close themselves, indentation, taken suggestions.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace lsp {

// Bytes [start, end) become `text`.
struct BufferEdit {
  std::size_t start = 0;
  std::size_t end = 0;
  std::string text;
};

// Follows VS Code's defaults: an opening bracket or quote in front of a blank, a closing bracket or the line's end gets its
// partner; typing the partner then steps over it; Return keeps the indentation, deepens it behind an opening bracket or a
// colon, and puts the partner on a line of its own; Backspace takes a pair or a step of indentation at once.
class Typist {
 public:
  Typist(std::string text, std::string indent) : text_(std::move(text)), indent_(std::move(indent)) {}

  const std::string& text() const { return text_; }
  std::size_t cursor() const { return cursor_; }

  // One key: a character (of any number of bytes), "\n" or "\b".
  BufferEdit press(std::string_view key);
  // Puts `text` in place of [start, end), which holds the cursor, and the cursor behind it.
  BufferEdit take(std::size_t start, std::size_t end, const std::string& text);
  void jump(std::size_t offset);

 private:
  BufferEdit apply(BufferEdit edit, std::size_t cursor);
  BufferEdit press_return();
  BufferEdit press_backspace();
  std::size_t line_start() const;
  bool partner_awaits(char c) const;  // the character at the cursor was put there as a partner

  std::string text_;
  std::string indent_;  // one step of indentation
  std::size_t cursor_ = 0;
  std::vector<std::size_t> partners_;  // offsets of characters that the editor added
};

}  // namespace lsp
