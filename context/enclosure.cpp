// Decides by the words before a bracket what the bracket opens.
#include "context/enclosure.h"

#include <algorithm>

namespace context {

namespace {

constexpr std::size_t header_bytes_max = 600;

bool script(Language language) {
  return language == Language::javascript || language == Language::typescript || language == Language::tsx;
}

bool is_modifier(std::string_view word) {
  return one_of(word, {"pub", "crate", "async", "unsafe", "extern", "export", "default", "declare", "abstract", "public",
                       "private", "protected", "static", "final", "sealed", "inline", "constexpr", "virtual", "template",
                       "typename", "partial", "const", "friend", "typedef", "synchronized", "native", "strictfp"});
}

// The rest of `text` behind its first word, and a bracketed group that belongs to it: "pub(crate)", "template <...>".
std::string_view behind_first_word(std::string_view text) {
  text = trim_blanks(text);
  text.remove_prefix(first_word(text).size());
  text = trim_blanks(text);
  if (!text.empty() && (text[0] == '(' || text[0] == '<' || text[0] == '"')) {
    const char closing = text[0] == '(' ? ')' : text[0] == '<' ? '>' : '"';
    const std::size_t end = text.find(closing, 1);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return trim_blanks(text);
}

// The keyword that says what is defined, behind modifiers and decorators on the same line.
std::string_view definition_word(std::string_view line) {
  line = trim_blanks(line);
  for (int i = 0; i < 8 && is_modifier(first_word(line)); ++i) {
    line = behind_first_word(line);
  }
  return first_word(line);
}

bool is_type_keyword(std::string_view word) {
  return one_of(word, {"class", "struct", "interface", "enum", "union", "trait", "impl", "record"});
}

bool newline_ends_statement(Language language) { return language == Language::go || script(language); }

// The statement's text before a bracket, read backwards to the end of the statement before, or to the bracket around it.
// A blank line ends it too, and so does any line end in languages that need no semicolon.
std::string_view header_before(Language language, std::string_view text, std::size_t bracket, std::size_t outer) {
  const std::size_t stop = std::max(outer, bracket > header_bytes_max ? bracket - header_bytes_max : 0);
  std::size_t start = bracket;
  int depth = 0;
  bool seen = false;  // something but blanks
  for (bool line_is_blank = true; start > stop; --start) {
    const char c = text[start - 1];
    depth += c == ')' || c == ']' ? 1 : c == '(' || c == '[' ? -1 : 0;
    if (depth < 0 || (depth == 0 && (c == ';' || c == '{' || c == '}'))) {
      break;
    }
    if (c == '\n') {
      if (seen && depth == 0 && (newline_ends_statement(language) || line_is_blank)) {
        break;
      }
      line_is_blank = true;
    } else if (!is_blank(c)) {
      seen = true;
      line_is_blank = false;
    }
  }
  std::string_view header = trim_blanks(text.substr(start, bracket - start));
  // Comments, attributes and decorators on lines of their own are no part of the statement.
  while (!header.empty() && (header[0] == '@' || header[0] == '#' || header[0] == '*' || header.substr(0, 2) == "//" ||
                             header.substr(0, 2) == "/*")) {
    const std::size_t newline = header.find('\n');
    if (newline == std::string_view::npos) {
      break;
    }
    header = trim_blanks(header.substr(newline));
  }
  return header;
}

std::string_view last_line(std::string_view text) {
  const std::size_t newline = text.rfind('\n');
  return trim_blanks(newline == std::string_view::npos ? text : text.substr(newline + 1));
}

Frame parenthesis(Language language, std::string_view header, Frame outer) {
  const std::string_view line = last_line(header);
  const std::string_view word = last_word(line);
  if (word.empty()) {
    const bool callable = !line.empty() && std::string_view(")]>!?.").find(line.back()) != std::string_view::npos;
    const bool arrow = line.size() >= 2 && (line.substr(line.size() - 2) == "=>" || line.substr(line.size() - 2) == "->");
    return callable && !arrow ? Frame::argument : Frame::group;
  }
  if (one_of(word, {"if", "while", "for", "switch", "catch", "foreach", "elif", "with", "match", "synchronized"})) {
    return Frame::condition;
  }
  if (language == Language::go && one_of(word, {"import"})) {
    return Frame::import_list;
  }
  if (language == Language::python && one_of(first_word(line), {"from", "import"})) {
    return Frame::import_list;
  }
  if (one_of(word, {"return", "in", "and", "or", "not", "yield", "await", "typeof", "else", "is", "lambda", "case", "throw",
                    "delete", "var", "const", "type", "sizeof", "assert", "del", "raise", "let", "mut", "of"})) {
    return one_of(word, {"sizeof"}) ? Frame::argument : Frame::group;
  }
  if (one_of(word, {"function", "func", "fn"})) {
    return Frame::parameters;
  }
  if (line[0] != '@' && starts_definition(language, line)) {
    return Frame::parameters;
  }
  const bool member_level = outer == Frame::top || outer == Frame::name_space || outer == Frame::type_body;
  if (typed_definitions(language) && member_level && is_type_and_name(line)) {
    return Frame::parameters;
  }
  const bool constructor = language == Language::cpp && outer == Frame::type_body && first_word(line) == line;
  if (constructor) {
    return Frame::parameters;
  }
  if (script(language) && outer == Frame::type_body && line.find('=') == std::string_view::npos && line[0] != '@') {
    return Frame::parameters;
  }
  return Frame::argument;
}

Frame brace(Language language, std::string_view header, Frame outer) {
  if (language == Language::python) {
    return Frame::literal;
  }
  if (header.empty()) {
    return outer == Frame::group || outer == Frame::argument || outer == Frame::literal ? Frame::literal : Frame::block;
  }
  const std::string_view word = definition_word(header);
  const char last = header.back();
  if (starts_import(language, header) || header == "export") {
    return Frame::import_list;
  }
  if (word == "namespace" || (language == Language::rust && word == "mod") ||
      (first_word(header) == "extern" && last == '"')) {
    return Frame::name_space;
  }
  const bool arrow = header.size() >= 2 && header.substr(header.size() - 2) == "=>";
  if (last == ')' || arrow) {
    return Frame::block;
  }
  if (script(language) && last == '>') {
    return Frame::interpolation;  // the text of a JSX element
  }
  if (is_type_keyword(word) || (language == Language::go && word == "type") ||
      (script(language) && has_word(header, "class"))) {
    return Frame::type_body;
  }
  if (last != '=' && (starts_definition(language, header) || starts_control(language, header))) {
    return Frame::block;
  }
  if (std::string_view("=(,[?&|:").find(last) != std::string_view::npos && !(language == Language::rust && last == '|')) {
    return one_of(first_word(header), {"case", "default"}) ? Frame::block : Frame::literal;
  }
  if (one_of(last_word(header), {"return", "default", "yield", "in", "of", "throw", "await"})) {
    return Frame::literal;
  }
  const bool inner_block = last == '|' || has_word(header, "if") || has_word(header, "match") || has_word(header, "loop") ||
                           has_word(header, "unsafe") || has_word(header, "async") || has_word(header, "else") ||
                           has_word(header, "func") || has_word(header, "fn") || has_word(header, "for") ||
                           has_word(header, "switch") || has_word(header, "do") || has_word(header, "try");
  if (inner_block) {
    return Frame::block;
  }
  const bool value = header.find('=') != std::string_view::npos || outer == Frame::argument || outer == Frame::group ||
                     outer == Frame::literal || first_word(header) == "return";
  return value ? Frame::literal : Frame::block;
}

Frame square(std::string_view header) {
  if (header.empty()) {
    return Frame::literal;
  }
  const char last = header.back();
  const bool value = one_of(last_word(header), {"return", "in", "yield", "of", "and", "or", "not", "else", "if"});
  return (is_word(last) || last == ')' || last == ']') && !value ? Frame::argument : Frame::literal;
}

bool is_body(Frame frame) { return frame == Frame::block || frame == Frame::type_body || frame == Frame::name_space; }

std::size_t indent_of(const Document& document, std::size_t line) {
  const std::size_t start = document.line_start(line);
  std::size_t i = start;
  while (i < document.line_end(line) && (document.text()[i] == ' ' || document.text()[i] == '\t')) {
    ++i;
  }
  return i - start;
}

// A bracket counts as forgotten where, before the cursor, a statement starts at its line's indentation or further left.
bool is_forgotten(Language language, const Document& document, const Bracket& bracket, std::size_t offset) {
  const std::string_view text = document.text();
  const std::size_t first = document.line_of(bracket.offset);
  const std::size_t last = document.line_of(offset);
  const std::size_t indent = indent_of(document, first);
  for (std::size_t line = first + 1; line <= last; ++line) {
    const std::size_t own = indent_of(document, line);
    const std::size_t start = document.line_start(line) + own;
    if (own > indent || start >= std::min(offset, document.line_end(line))) {
      continue;
    }
    const std::string_view content = text.substr(start, std::min(offset, document.line_end(line)) - start);
    const bool definition = starts_definition(language, content);
    const bool statement = definition || starts_import(language, content) || starts_control(language, content) ||
                           one_of(first_word(content), {"return", "let", "var", "const"});
    if (bracket.kind == '{' && language != Language::python ? definition && own == 0 : statement) {
      return true;
    }
  }
  return false;
}

}  // namespace

std::string_view trim_blanks(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) {
    text.remove_prefix(1);
  }
  while (!text.empty() && is_blank(text.back())) {
    text.remove_suffix(1);
  }
  return text;
}

std::string_view first_word(std::string_view text) {
  text = trim_blanks(text);
  std::size_t end = 0;
  while (end < text.size() && is_word(text[end])) {
    ++end;
  }
  return text.substr(0, end);
}

std::string_view last_word(std::string_view text) {
  text = trim_blanks(text);
  std::size_t start = text.size();
  while (start > 0 && is_word(text[start - 1])) {
    --start;
  }
  return text.substr(start);
}

bool has_word(std::string_view text, std::string_view word) {
  for (std::size_t at = text.find(word); at != std::string_view::npos; at = text.find(word, at + 1)) {
    const std::size_t end = at + word.size();
    if ((at == 0 || !is_word(text[at - 1])) && (end == text.size() || !is_word(text[end]))) {
      return true;
    }
  }
  return false;
}

bool one_of(std::string_view word, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

bool typed_definitions(Language language) {
  return language == Language::c || language == Language::cpp || language == Language::java;
}

bool starts_definition(Language language, std::string_view line) {
  const std::string_view word = definition_word(line);
  switch (language) {
    case Language::none: return false;
    case Language::python: return one_of(word, {"def", "class"});
    case Language::rust: return one_of(word, {"fn", "struct", "enum", "trait", "impl", "mod", "union"});
    case Language::go: return one_of(word, {"func", "type"});
    case Language::javascript: return one_of(word, {"function", "class"});
    case Language::typescript:
    case Language::tsx: return one_of(word, {"function", "class", "interface", "enum", "type", "namespace"});
    case Language::c:
    case Language::cpp: return one_of(word, {"class", "struct", "enum", "union", "namespace"});
    case Language::java: return one_of(word, {"class", "interface", "enum", "record"});
  }
  return false;
}

bool starts_control(Language language, std::string_view line) {
  line = trim_blanks(line);
  while (!line.empty() && line[0] == '}') {
    line = trim_blanks(line.substr(1));
  }
  const std::string_view word = first_word(line);
  if (language == Language::python) {
    if (word == "async") {
      return one_of(first_word(behind_first_word(line)), {"for", "with"});
    }
    return one_of(word, {"if", "elif", "else", "for", "while", "try", "except", "finally", "with", "match", "case"});
  }
  return one_of(word, {"if", "else", "for", "while", "do", "switch", "try", "catch", "finally", "match", "loop", "unsafe",
                       "select", "synchronized"});
}

bool starts_import(Language language, std::string_view line) {
  line = trim_blanks(line);
  if (language == Language::c || language == Language::cpp) {
    if (!line.empty() && line[0] == '#') {
      return one_of(first_word(line.substr(1)), {"include", "import"});
    }
    return first_word(line) == "using" && line.find('=') == std::string_view::npos;
  }
  const std::string_view word = first_word(line);
  switch (language) {
    case Language::python: return one_of(word, {"import", "from"});
    case Language::rust: {
      const std::string_view behind = word == "pub" ? first_word(behind_first_word(line)) : word;
      return behind == "use" || (word == "extern" && has_word(line, "crate"));
    }
    case Language::go: return one_of(word, {"import", "package"});
    case Language::java: return one_of(word, {"import", "package"});
    case Language::javascript:
    case Language::typescript:
    case Language::tsx:
      return (word == "import" && line.find('(') == std::string_view::npos) ||
             (word == "export" && !behind_first_word(line).empty() &&
              (behind_first_word(line)[0] == '*' || behind_first_word(line)[0] == '{'));
    default: return false;
  }
}

bool is_type_and_name(std::string_view text) {
  text = trim_blanks(text);
  const std::string_view name = last_word(text);
  std::string_view type = trim_blanks(text.substr(0, text.size() - name.size()));
  if (name.empty() || type.empty() ||
      one_of(first_word(text), {"return", "new", "throw", "else", "goto", "case", "delete", "using", "package", "import"})) {
    return false;
  }
  int angles = 0;
  for (const char c : type) {
    angles += c == '<' ? 1 : c == '>' ? -1 : 0;
    const bool allowed = is_word(c) || is_blank(c) || std::string_view("<>*&:[].?@~").find(c) != std::string_view::npos;
    if (!allowed && !(c == ',' && angles > 0)) {
      return false;
    }
  }
  return angles == 0 && is_word(first_word(type).empty() ? type.front() : 'a') && type.back() != '.';
}

Enclosure enclosure(Language language, const Document& document, std::size_t offset, const Lexed& lexed) {
  const std::string_view text = document.text();
  Enclosure result;
  result.open = result.block = text.size();
  std::size_t outer = 0;
  for (const Bracket& bracket : lexed.open) {
    if (!bracket.interpolation && is_forgotten(language, document, bracket, offset)) {
      continue;
    }
    const std::string_view header = header_before(language, text, bracket.offset, outer);
    Frame frame = Frame::interpolation;
    if (!bracket.interpolation) {
      frame = bracket.kind == '(' ? parenthesis(language, header, result.frame)
              : bracket.kind == '{' ? brace(language, header, result.frame)
                                    : square(header);
    }
    result.frame = frame;
    result.open = bracket.offset;
    if (is_body(frame)) {
      result.block = bracket.offset;
      result.block_frame = frame;
    }
    outer = bracket.offset + 1;
  }
  return result;
}

}  // namespace context
