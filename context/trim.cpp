// The rules that cut generated text: the line, the block, what already stands behind the cursor, loops, blanks.
#include "context/trim.h"

#include <algorithm>
#include <vector>

#include "context/block_end.h"
#include "context/enclosure.h"
#include "context/lex.h"
#include "context/lines.h"

namespace context {

namespace {

std::string_view line_prefix_at(const Document& document, std::size_t offset) {
  const std::size_t start = document.line_start(document.line_of(offset));
  return std::string_view(document.text()).substr(start, offset - start);
}

std::string_view line_suffix_at(const Document& document, std::size_t offset) {
  const std::size_t end = document.line_end(document.line_of(offset));
  return std::string_view(document.text()).substr(offset, std::max(end, offset) - offset);
}

// The next lines behind the cursor's that are not blank, at most `count`.
std::vector<std::string_view> next_lines(const Document& document, std::size_t offset, std::size_t count) {
  std::vector<std::string_view> lines;
  for (std::size_t line = document.line_of(offset) + 1; line < document.line_count() && lines.size() < count; ++line) {
    const std::size_t start = document.line_start(line);
    const std::string_view text = right_trimmed(std::string_view(document.text()).substr(start, document.line_end(line) - start));
    if (!text.empty()) {
      lines.push_back(text);
    }
  }
  return lines;
}

// Whether the bracket that closes the cursor's block stands behind the cursor already, judged by indentation: the next
// line is that bracket, or still belongs to the block.
bool closer_follows(const Document& document, const Cursor& cursor, std::size_t offset, char closer) {
  const std::string_view suffix = trim_blanks(line_suffix_at(document, offset));
  if (!suffix.empty() && suffix[0] == closer) {
    return true;
  }
  const std::vector<std::string_view> next = next_lines(document, offset, 1);
  if (next.empty()) {
    return false;
  }
  const bool opened_here = !lex(cursor.language, line_prefix_at(document, offset)).open.empty();
  const std::size_t own = blanks(next[0]);
  if (next[0][own] == closer) {
    return opened_here ? own >= cursor.indent : own <= cursor.indent;
  }
  return opened_here ? own > cursor.indent : own >= cursor.indent && cursor.indent > 0;
}

// How a line stands after an insertion: nothing may be closed that was not open, and no string may be left open.
struct Balance {
  std::size_t stray = 0;
  std::size_t open = 0;
  bool in_string = false;
};

Balance balance(Language language, const std::string& line) {
  const Lexed lexed = lex(language, line);
  // An unclosed quote ends with its line; the lexer tells by the mode at the end.
  return {lexed.stray.size(), lexed.open.size() + lexed.left_open, lexed.mode == LexMode::string};
}

bool no_worse(const Balance& after, const Balance& before) {
  return after.stray <= before.stray && after.open <= before.open && (!after.in_string || before.in_string);
}

bool is_subsequence(std::string_view what, std::string_view of) {
  std::size_t i = 0;
  for (const char c : of) {
    i += i < what.size() && what[i] == c ? 1 : 0;
  }
  return i == what.size();
}

// A single letter in common is chance; a mark, or a word's whole rest, is not.
bool overlap_means_something(std::string_view overlap, std::string_view suffix) {
  const bool word = std::all_of(overlap.begin(), overlap.end(), is_word);
  return !word || overlap.size() >= 3 || overlap == suffix;
}

// Fits one line of text between what stands before and behind the cursor on its line.
void join_with_rest_of_line(Language language, std::string_view prefix, std::string_view rest, Trimmed& result) {
  const std::string_view suffix = right_trimmed(rest);
  if (trim_blanks(suffix).empty()) {
    return;
  }
  const std::string before = std::string(prefix);
  const std::string behind = std::string(suffix);
  const Balance was = balance(language, before + behind);
  const std::string& text = result.text;
  for (std::size_t length = std::min(text.size(), suffix.size()); length > 0; --length) {
    const std::string_view overlap = std::string_view(text).substr(text.size() - length);
    if (overlap != suffix.substr(0, length) || !overlap_means_something(overlap, suffix)) {
      continue;
    }
    const std::string cut = text.substr(0, text.size() - length);
    if (no_worse(balance(language, before + cut + behind), was)) {
      result.text = cut;
      result.dropped = "the end of the text stands behind the cursor already";
      return;
    }
  }
  if (no_worse(balance(language, before + text + behind), was)) {
    return;
  }
  if (is_subsequence(suffix, text) && no_worse(balance(language, before + text), was)) {
    result.replace_after = suffix.size();
    return;
  }
  const Lexed lexed = lex(language, before + text);
  for (const Bracket& stray : lexed.stray) {
    if (stray.offset >= before.size()) {
      result.text.resize(stray.offset - before.size());
      result.dropped = "a closing bracket that nothing opened";
      return;
    }
  }
  // The text opens more than it closes: the rest of the line closes something else.
  const std::size_t open_at_cursor = lex(language, before).open.size();
  if (lexed.open.size() > open_at_cursor) {
    result.text.resize(lexed.open[open_at_cursor].offset - before.size());
    result.dropped = "an opening bracket that nothing closes";
  }
}

// Cuts where the text repeats the lines that follow in the document.
void cut_repeated_suffix_lines(const Document& document, std::size_t offset, Trimmed& result) {
  const std::vector<std::string_view> next = next_lines(document, offset, 1);
  if (next.empty()) {
    return;
  }
  const std::vector<Line> lines = split_lines(result.text);
  const auto is_trivial = [](std::string_view line) {
    return std::count_if(line.begin(), line.end(), is_word) < 3;
  };
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const std::string_view line = i == 0 ? trim_blanks(lines[i].text) : lines[i].text;
    const std::string_view other = i == 0 ? trim_blanks(next[0]) : next[0];
    // The first generated line continues the cursor's line; it is a repetition only where that line was empty.
    const bool whole = i > 0 || trim_blanks(line_prefix_at(document, offset)).empty();
    if (whole && line == other && !is_trivial(line)) {
      result.text.resize(i == 0 ? 0 : lines[i - 1].end);
      result.dropped = "the lines that follow stand behind the cursor already";
      return;
    }
  }
}

// Keeps the first of three or more equal groups of lines.
void cut_repeated_lines(Trimmed& result) {
  std::vector<Line> lines = split_lines(result.text);
  // The first line's indentation stands before the cursor, so none counts.
  for (Line& line : lines) {
    line.text = trim_blanks(line.text);
  }
  for (std::size_t i = 0; i < lines.size(); ++i) {
    for (std::size_t period = 1; i + 3 * period <= lines.size() && period <= 12; ++period) {
      bool repeats = false;
      for (std::size_t k = 0; k < period; ++k) {
        repeats = repeats || lines[i + k].text.size() >= 3;
      }
      for (std::size_t k = 0; repeats && k < 2 * period; ++k) {
        repeats = lines[i + k].text == lines[i + k + period].text;
      }
      if (repeats) {
        result.text.resize(lines[i + period - 1].end);
        result.dropped = "the lines repeat";
        return;
      }
    }
  }
}

// "a, a, a, a": four or more equal groups of characters at the end, with letters in them, shrink to one.
void cut_repeated_tail(Trimmed& result) {
  const std::string_view text = result.text;
  for (std::size_t period = 2; period * 4 <= text.size() && period <= 48; ++period) {
    const std::string_view unit = text.substr(text.size() - period);
    std::size_t repeats = 1;
    while ((repeats + 1) * period <= text.size() && text.substr(text.size() - (repeats + 1) * period, period) == unit) {
      ++repeats;
    }
    const bool letters = std::any_of(unit.begin(), unit.end(), [](char c) { return is_word(c) && !(c >= '0' && c <= '9'); });
    const bool uniform = std::all_of(unit.begin(), unit.end(), [&](char c) { return c == unit[0]; });
    if (repeats >= 4 && letters && !uniform && unit.find('\n') == std::string_view::npos) {
      result.text.resize(text.size() - (repeats - 1) * period);
      result.dropped = "the end repeats itself";
      return;
    }
  }
}

// Drops the first bytes of a character whose last ones were not generated.
void cut_partial_character(std::string& text) {
  std::size_t start = text.size();
  while (start > 0 && text.size() - start < 4 && (static_cast<unsigned char>(text[start - 1]) & 0xC0) == 0x80) {
    --start;
  }
  if (start == 0 || static_cast<unsigned char>(text[start - 1]) < 0xC0) {
    return;
  }
  const auto lead = static_cast<unsigned char>(text[start - 1]);
  const std::size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (text.size() - (start - 1) < length) {
    text.resize(start - 1);
  }
}

void apply_line_rule(const Document& document, std::size_t offset, const Cursor& cursor, std::string_view generated,
                     Trimmed& result) {
  const std::size_t newline = generated.find('\n');
  result.text = generated.substr(0, newline);
  if (newline != std::string_view::npos && !right_trimmed(generated.substr(newline)).empty()) {
    result.dropped = "more than the line";
  }
  if (!trim_blanks(line_suffix_at(document, offset)).empty()) {
    return;  // join_with_rest_of_line sees to brackets
  }
  const BlockEnd end = end_by_bracket(cursor, line_prefix_at(document, offset), result.text);
  if (end.stray != 0 && closer_follows(document, cursor, offset, end.stray)) {
    result.text.resize(end.end);
    result.dropped = "the closing bracket stands behind the cursor already";
  }
}

void apply_block_rule(const Document& document, std::size_t offset, const Cursor& cursor, std::string_view generated,
                      Trimmed& result) {
  BlockEnd end = block_end(cursor, line_prefix_at(document, offset), generated, true);
  if (end.closer < end.end && closer_follows(document, cursor, offset, '}')) {
    end.end = end.closer;
    end.stray = '}';
  }
  result.text = generated.substr(0, end.end);
  if (end.end == std::string_view::npos) {
    return;
  }
  if (end.stray == 0) {
    result.dropped = trim_blanks(generated.substr(end.end)).empty() ? "" : "more than the block";
  } else if (closer_follows(document, cursor, offset, end.stray)) {
    result.dropped = "the closing bracket stands behind the cursor already";
  } else if (cursor.indent > 0 || !lex(cursor.language, line_prefix_at(document, offset)).open.empty()) {
    // The bracket is wanted, with what ends the statement behind it.
    const std::size_t behind = generated.find_first_not_of(")]};", end.end + 1);
    result.text = generated.substr(0, end.stray == '}' ? end.end + 1 : behind);
    result.dropped = trim_blanks(generated.substr(result.text.size())).empty() ? "" : "more than the block";
  } else {
    result.dropped = "a closing bracket that nothing opened";
  }
}

// Several lines in front of closing brackets that the editor put there: the text takes over the rest of the line,
// because a client shows several lines only where nothing stays behind them.
void take_over_closers(const Document& document, std::size_t offset, Trimmed& result) {
  const std::string_view suffix = right_trimmed(line_suffix_at(document, offset));
  const std::string_view closers = trim_blanks(suffix);
  if (closers.empty() || result.text.find('\n') == std::string::npos) {
    return;
  }
  const std::string_view prefix = line_prefix_at(document, offset);
  result.text = std::string(right_trimmed(result.text)) + "\n" + std::string(prefix.substr(0, blanks(prefix))) +
                std::string(closers);
  result.replace_after = suffix.size();
}

bool repeats_line_above(const Document& document, std::size_t offset, std::string_view text) {
  if (!trim_blanks(line_prefix_at(document, offset)).empty()) {
    return false;
  }
  for (std::size_t line = document.line_of(offset); line-- > 0;) {
    const std::size_t start = document.line_start(line);
    const std::string_view above = trim_blanks(std::string_view(document.text()).substr(start, document.line_end(line) - start));
    if (!above.empty()) {
      return above == trim_blanks(text) && std::any_of(above.begin(), above.end(), is_word);
    }
  }
  return false;
}

}  // namespace

bool is_complete(const Cursor& cursor, std::string_view line_prefix, std::string_view generated) {
  if (cursor.single_line) {
    return generated.find('\n') != std::string_view::npos;
  }
  const bool ends_in_two_blank_lines = generated.size() >= 3 && generated.substr(generated.size() - 3) == "\n\n\n";
  if (ends_in_two_blank_lines && cursor.syntax_class != SyntaxClass::module) {
    return true;
  }
  const BlockEnd end = block_end(cursor, line_prefix, generated, false);
  if (end.end == std::string_view::npos) {
    return false;
  }
  // Behind a ")" or "]" the statement's own end may follow on the line.
  return end.stray == 0 || end.stray == '}' || generated.find('\n', end.end) != std::string_view::npos;
}

Trimmed trim(const Document& document, std::size_t offset, const Cursor& cursor, std::string_view generated) {
  offset = std::min(offset, document.text().size());
  Trimmed result;
  if (cursor.single_line) {
    apply_line_rule(document, offset, cursor, generated, result);
  } else {
    apply_block_rule(document, offset, cursor, generated, result);
  }
  cut_partial_character(result.text);
  cut_repeated_lines(result);
  cut_repeated_tail(result);
  cut_repeated_suffix_lines(document, offset, result);
  if (result.text.find('\n') == std::string::npos) {
    join_with_rest_of_line(cursor.language, line_prefix_at(document, offset), line_suffix_at(document, offset), result);
  } else {
    take_over_closers(document, offset, result);
  }
  // Blanks in front of what follows on the line are part of the code; at the line's end they are not.
  if (trim_blanks(line_suffix_at(document, offset)).empty() || result.replace_after > 0) {
    result.text = right_trimmed(result.text);
  }
  if (trim_blanks(result.text).empty()) {
    const bool nothing = result.dropped.empty();
    result = {"", 0, nothing ? "nothing but blanks" : result.dropped};
  } else if (repeats_line_above(document, offset, result.text)) {
    result = {"", 0, "the text repeats the line above"};
  }
  return result;
}

}  // namespace context
