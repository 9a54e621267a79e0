// The keys that do more than insert themselves.
#include "lsp/commands/typist.h"

#include <algorithm>

namespace lsp {
namespace {

constexpr std::string_view openers = "([{";
constexpr std::string_view closers = ")]}";

char partner_of(char c) {
  const std::size_t at = openers.find(c);
  return at == std::string_view::npos ? c : closers[at];
}

bool is_quote(char c) { return c == '"' || c == '\''; }
bool is_word(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

}  // namespace

std::size_t Typist::line_start() const {
  const std::size_t newline = cursor_ == 0 ? std::string::npos : text_.rfind('\n', cursor_ - 1);
  return newline == std::string::npos ? 0 : newline + 1;
}

bool Typist::partner_awaits(char c) const {
  return cursor_ < text_.size() && text_[cursor_] == c && std::find(partners_.begin(), partners_.end(), cursor_) != partners_.end();
}

// Partners move with the text behind the edit; those inside it are gone.
BufferEdit Typist::apply(BufferEdit edit, std::size_t cursor) {
  text_.replace(edit.start, edit.end - edit.start, edit.text);
  std::erase_if(partners_, [&](std::size_t at) { return at >= edit.start && at < edit.end; });
  for (std::size_t& at : partners_) {
    if (at >= edit.end) at = at - (edit.end - edit.start) + edit.text.size();
  }
  cursor_ = cursor;
  return edit;
}

void Typist::jump(std::size_t offset) {
  cursor_ = std::min(offset, text_.size());
  partners_.clear();
}

BufferEdit Typist::take(std::size_t start, std::size_t end, const std::string& text) {
  return apply({start, end, text}, start + text.size());
}

BufferEdit Typist::press(std::string_view key) {
  if (key == "\n") return press_return();
  if (key == "\b") return press_backspace();
  const char c = key[0];
  if (partner_awaits(c)) {
    BufferEdit over{cursor_, cursor_ + 1, std::string(1, c)};
    return apply(over, cursor_ + 1);
  }
  const char next = cursor_ < text_.size() ? text_[cursor_] : '\n';
  const char before = cursor_ > 0 ? text_[cursor_ - 1] : '\n';
  const bool room = std::string_view(" \t\r\n)]};,:").find(next) != std::string_view::npos;
  const bool opens = key.size() == 1 && openers.find(c) != std::string_view::npos;
  const bool quotes = key.size() == 1 && is_quote(c) && !is_word(before) && before != c;
  if (room && (opens || quotes)) {
    const std::size_t at = cursor_;
    const BufferEdit edit = apply({at, at, std::string{c, partner_of(c)}}, at + 1);
    partners_.push_back(at + 1);
    return edit;
  }
  // A brace that closes a block on a line of its own goes back one step.
  const std::size_t start = line_start();
  const bool alone = text_.find_first_not_of(" \t", start) >= cursor_;
  const std::size_t step = std::min(indent_.size(), cursor_ - start);
  if (c == '}' && alone && step > 0 && text_.compare(cursor_ - step, step, indent_) == 0) {
    return apply({cursor_ - step, cursor_, "}"}, cursor_ - step + 1);
  }
  return apply({cursor_, cursor_, std::string(key)}, cursor_ + key.size());
}

BufferEdit Typist::press_return() {
  const std::size_t start = line_start();
  const std::size_t code = std::min(text_.find_first_not_of(" \t", start), cursor_);
  const std::string own = "\n" + text_.substr(start, code - start);
  const std::size_t last = text_.find_last_not_of(" \t", cursor_ == 0 ? 0 : cursor_ - 1);
  const char before = last == std::string::npos || last < start || cursor_ == 0 ? '\n' : text_[last];
  const bool opens = openers.find(before) != std::string_view::npos;
  const std::string deeper = opens || before == ':' ? own + indent_ : own;
  const bool splits = opens && cursor_ < text_.size() && text_[cursor_] == partner_of(before);
  const std::size_t at = cursor_;
  return apply({at, at, splits ? deeper + own : deeper}, at + deeper.size());
}

BufferEdit Typist::press_backspace() {
  if (cursor_ == 0) return {};
  const std::size_t start = line_start();
  const bool in_indent = cursor_ > start && text_.find_first_not_of(" \t", start) >= cursor_;
  if (in_indent && cursor_ - start >= indent_.size()) {
    const std::size_t step = (cursor_ - start) % indent_.size() == 0 ? indent_.size() : (cursor_ - start) % indent_.size();
    return apply({cursor_ - step, cursor_, ""}, cursor_ - step);
  }
  const char before = text_[cursor_ - 1];
  const bool pair = (openers.find(before) != std::string_view::npos || is_quote(before)) && partner_awaits(partner_of(before));
  std::size_t first = cursor_ - 1;
  while (first > 0 && (static_cast<unsigned char>(text_[first]) & 0xC0) == 0x80) --first;
  return apply({first, cursor_ + (pair ? 1 : 0), ""}, first);
}

}  // namespace lsp
