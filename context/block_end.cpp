// Finds the end of the cursor's block in text that is still being written.
#include "context/block_end.h"

#include <string>
#include <vector>

#include "context/enclosure.h"
#include "context/lex.h"
#include "context/lines.h"

namespace context {
namespace {

// `else:` and its like stand at the indentation of the statement they continue.
bool continues_statement(std::string_view line) {
  return one_of(first_word(line), {"else", "elif", "except", "finally", "case"});
}

// The end of the part of `generated` that belongs to the cursor's block in a language that indents; npos while
// no line has left it. A line that is still being generated counts only where `finished` says that no more will come.
std::size_t end_by_indent(const Cursor& cursor, std::string_view line_prefix, std::string_view generated, bool finished) {
  const std::size_t indent = cursor.indent;
  // Brackets join lines: only a line that starts outside of any can leave the block.
  const std::string joined = std::string(line_prefix) + std::string(generated);
  const std::vector<Line> lines = split_lines(generated);
  for (std::size_t i = 1; i < lines.size(); ++i) {
    // "el" may become "else": a line's first word decides only once something follows it.
    const bool known = finished || i + 1 < lines.size() ||
                       first_word(lines[i].text).size() < trim_blanks(lines[i].text).size();
    if (lines[i].text.empty() || !known) {
      continue;
    }
    const std::size_t own = blanks(lines[i].text);
    const bool left = cursor.opens_block ? own <= indent && !continues_statement(lines[i].text) : own < indent;
    if (!left) {
      continue;
    }
    const Lexed before = lex(cursor.language, std::string_view(joined).substr(0, line_prefix.size() + lines[i].start));
    if (before.open.empty() && before.mode == LexMode::code) {
      return lines[i - 1].end;
    }
  }
  return std::string_view::npos;
}

bool indents(Language language) { return language == Language::python || language == Language::none; }

}  // namespace

BlockEnd end_by_bracket(const Cursor& cursor, std::string_view line_prefix, std::string_view generated) {
  const std::string joined = std::string(line_prefix) + std::string(generated);
  const std::size_t shift = line_prefix.size();
  BlockEnd result;
  const Lexed all = lex(cursor.language, joined);
  for (const Bracket& stray : all.stray) {
    if (stray.offset >= shift) {
      result.end = stray.offset - shift;
      result.stray = stray.kind;
      break;
    }
  }
  const std::string_view typed = right_trimmed(line_prefix);
  if (!cursor.opens_block || typed.empty() || typed.back() != '{') {
    return result;
  }
  for (const auto& [open, close] : all.pairs) {
    if (open + 1 == typed.size()) {
      result.closer = close - shift;
    }
  }
  if (result.closer == std::string_view::npos) {
    return result;
  }
  // `} else {` goes on: the block is over with the first line at whose end no bracket is open that was not before.
  const std::size_t opened = lex(cursor.language, typed).open.size();
  for (std::size_t newline = generated.find('\n', result.closer); newline < result.end;
       newline = generated.find('\n', newline + 1)) {
    const Lexed so_far = lex(cursor.language, std::string_view(joined).substr(0, shift + newline));
    if (so_far.open.size() < opened && so_far.mode == LexMode::code) {
      result.end = newline;
      result.stray = 0;
    }
  }
  return result;
}

BlockEnd block_end(const Cursor& cursor, std::string_view line_prefix, std::string_view generated, bool finished) {
  if (!indents(cursor.language)) {
    return end_by_bracket(cursor, line_prefix, generated);
  }
  BlockEnd by_indent;
  by_indent.end = end_by_indent(cursor, line_prefix, generated, finished);
  if (cursor.language == Language::none) {
    return by_indent;
  }
  // A bracket of the lines above that is closed at the left edge ends the block as a bracket.
  const BlockEnd by_bracket = end_by_bracket(cursor, line_prefix, generated);
  const bool bracket_first = by_bracket.end < by_indent.end ||
                             (by_bracket.end != std::string_view::npos &&
                              trim_blanks(generated.substr(by_indent.end, by_bracket.end - by_indent.end)).empty());
  return bracket_first ? by_bracket : by_indent;
}

}  // namespace context
