// Classifies a cursor by what stands before it: comment or string, the brackets around it, and the line so far.
#include "context/cursor.h"

#include <tree_sitter/api.h>

#include <algorithm>
#include <utility>

#include "context/enclosure.h"
#include "context/lex.h"
#include "context/lines.h"

namespace context {

namespace {

enum class Literal { code, comment, string };

Literal literal_kind(std::string_view type) {
  if (type == "comment" || type == "line_comment" || type == "block_comment" || type == "html_comment" ||
      type == "hash_bang_line") {
    return Literal::comment;
  }
  if (type == "string" || type == "string_literal" || type == "raw_string_literal" || type == "template_string" ||
      type == "interpreted_string_literal" || type == "char_literal" || type == "character_literal" ||
      type == "rune_literal" || type == "regex") {
    return Literal::string;
  }
  return Literal::code;
}

// What a healthy tree says about the byte before the cursor.
Literal literal_at(TSNode leaf, std::size_t offset, std::string_view text) {
  for (TSNode node = leaf; !ts_node_is_null(node); node = ts_node_parent(node)) {
    const std::string_view type = ts_node_type(node);
    if (type == "interpolation" || type == "template_substitution") {
      break;
    }
    const Literal kind = literal_kind(type);
    if (kind == Literal::code) {
      continue;
    }
    const bool inside = ts_node_start_byte(node) < offset && offset < ts_node_end_byte(node);
    const std::string_view opening = text.substr(ts_node_start_byte(node), 2);
    const bool to_line_end = kind == Literal::comment && opening != "/*" && text[offset - 1] != '\n';
    return inside || to_line_end ? kind : Literal::code;
  }
  return Literal::code;
}

// What the text before the cursor says; the only witness where the tree has errors, because recovery regroups quotes.
Literal literal_at(const Lexed& lexed) {
  switch (lexed.mode) {
    case LexMode::code: return Literal::code;
    case LexMode::string: return Literal::string;
    default: return Literal::comment;
  }
}

bool blank_line(std::string_view line) { return trim_blanks(line).empty(); }

// Editors type closing brackets on their own; they, commas and semicolons are no code that follows.
bool only_closers(std::string_view text) { return text.find_first_not_of(")]};, \t\r") == std::string_view::npos; }

struct CursorLine {
  std::string_view prefix;   // before the cursor
  std::string_view typed;    // prefix without blanks at both ends
  std::string_view suffix;   // behind the cursor, to the line's end
  bool touching = false;     // no blank between the cursor and what was typed
};

CursorLine line_at(const Document& document, std::size_t offset) {
  const std::string_view text = document.text();
  const std::size_t line = document.line_of(offset);
  const std::size_t start = document.line_start(line);
  const std::size_t end = std::max(document.line_end(line), offset);
  CursorLine result;
  result.prefix = text.substr(start, offset - start);
  result.typed = trim_blanks(result.prefix);
  result.suffix = text.substr(offset, end - offset);
  result.touching = !result.prefix.empty() && !is_blank(result.prefix.back());
  return result;
}

// The first line above that opens the indentation block of column `indent`: the nearest one further left.
std::size_t header_line_above(const Document& document, std::size_t line, std::size_t indent) {
  const std::string_view text = document.text();
  while (line-- > 0) {
    const std::string_view content = text.substr(document.line_start(line), document.line_end(line) - document.line_start(line));
    if (!blank_line(content) && blanks(content) < indent) {
      return line;
    }
  }
  return document.line_count();
}

void set_scope_by_indent(const Document& document, std::size_t offset, std::size_t indent, Cursor& cursor) {
  const std::string_view text = document.text();
  const std::size_t here = document.line_of(offset);
  const std::size_t header = header_line_above(document, here, indent);
  if (header == document.line_count()) {
    return;
  }
  cursor.scope_start = document.line_start(header);
  for (std::size_t line = here + 1; line < document.line_count(); ++line) {
    const std::string_view content = text.substr(document.line_start(line), document.line_end(line) - document.line_start(line));
    if (!blank_line(content) && blanks(content) < indent) {
      cursor.scope_end = document.line_start(line);
      return;
    }
  }
}

// A body in braces: from its header's line to the "}" the tree pairs it with, else to the first "}" behind the cursor
// that stands at the header's indentation.
void set_scope_by_brace(const Document& document, const SyntaxTree& tree, std::size_t open, std::size_t offset,
                        Cursor& cursor) {
  const std::string_view text = document.text();
  const std::size_t header = document.line_of(open);
  cursor.scope_start = document.line_start(header);
  const auto at = static_cast<std::uint32_t>(open);
  const TSNode brace = ts_node_descendant_for_byte_range(ts_tree_root_node(tree.get()), at, at + 1);
  const TSNode body = ts_node_parent(brace);
  if (!ts_node_is_null(body) && !ts_node_is_error(body) && ts_node_end_byte(body) > offset &&
      ts_node_start_byte(body) == open) {
    cursor.scope_end = ts_node_end_byte(body);
    return;
  }
  const std::size_t indent = blanks(text.substr(cursor.scope_start));
  for (std::size_t line = document.line_of(offset) + 1; line < document.line_count(); ++line) {
    const std::size_t start = document.line_start(line) + indent;
    if (start < document.line_end(line) && text[start] == '}' && blanks(text.substr(document.line_start(line))) == indent) {
      cursor.scope_end = start + 1;
      return;
    }
  }
}

// Where a new statement would stand: at the top level, or in a body.
SyntaxClass statement_class(Frame block_frame, bool indented) {
  const bool top = block_frame == Frame::top || block_frame == Frame::name_space;
  return top && !indented ? SyntaxClass::module : SyntaxClass::function;
}

void decide(Cursor& cursor, SyntaxClass syntax_class, bool single_line, std::string why) {
  cursor.syntax_class = syntax_class;
  cursor.single_line = single_line;
  cursor.why = std::move(why);
}

void classify_fresh_line(const Enclosure& around, bool indented, bool text_follows, Cursor& cursor) {
  switch (around.frame) {
    case Frame::argument: return decide(cursor, SyntaxClass::identifier, true, "a line of its own among arguments");
    case Frame::interpolation: return decide(cursor, SyntaxClass::identifier, true, "inside an interpolation");
    case Frame::import_list: return decide(cursor, SyntaxClass::identifier, true, "a name in an import list");
    case Frame::parameters:
      cursor.definition_header = true;
      return decide(cursor, SyntaxClass::identifier, true, "a line of its own among parameters");
    case Frame::condition: return decide(cursor, SyntaxClass::function, true, "inside a condition");
    case Frame::group:
    case Frame::literal: return decide(cursor, SyntaxClass::function, text_follows, "a fresh line inside a value");
    default: break;
  }
  const SyntaxClass place = statement_class(around.block_frame, indented);
  decide(cursor, place, text_follows,
         place == SyntaxClass::module ? "a fresh line at the top level" : "a fresh line inside a body");
}

// A definition whose body is not open yet.
bool in_definition_header(Language language, const CursorLine& line, const Enclosure& around) {
  if (around.frame == Frame::parameters) {
    return true;
  }
  if (around.frame == Frame::argument || around.frame == Frame::condition || around.frame == Frame::interpolation) {
    return language == Language::python && starts_definition(language, line.typed);
  }
  const char last = line.typed.back();
  if (last == ';' || last == '{' || last == '}' || (language == Language::python && last == ':')) {
    return false;
  }
  if (starts_definition(language, line.typed)) {
    // `type X = ...` and `struct X x = ...` are under way, but no header any more.
    const bool keyword_alone = line.touching && first_word(line.typed) == line.typed;
    return line.typed.find_first_of("={") == std::string_view::npos && !keyword_alone;
  }
  const bool member_level = around.frame == Frame::top || around.frame == Frame::name_space || around.frame == Frame::type_body;
  if (typed_definitions(language) && member_level) {
    const std::string_view head = trim_blanks(line.typed.substr(0, line.typed.find('(')));
    return is_type_and_name(head) && line.typed.find('=') == std::string_view::npos;
  }
  return false;
}

bool ends_with(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

bool opens_python_block(const CursorLine& line, const Enclosure& around) {
  return around.frame == Frame::top && line.typed.back() == ':' &&
         (starts_definition(Language::python, line.typed) || starts_control(Language::python, line.typed));
}

bool after_statement(Language language, const CursorLine& line, const Enclosure& around) {
  const bool in_body = around.frame == Frame::top || around.frame == Frame::block || around.frame == Frame::type_body ||
                       around.frame == Frame::name_space;
  const char last = line.typed.back();
  if (!in_body) {
    return false;
  }
  return last == ';' || (last == '}' && language != Language::python) ||
         (last == ':' && (one_of(first_word(line.typed), {"case", "default", "public", "private", "protected"})));
}

void classify_typed_line(Language language, const CursorLine& line, const Enclosure& around, bool indented, Cursor& cursor) {
  const char last = line.typed.back();
  const bool text_follows = !blank_line(line.suffix);
  const bool code_follows = text_follows && !only_closers(line.suffix);
  const SyntaxClass place = statement_class(around.block_frame, indented);
  const bool brace_body = around.open == around.block && around.frame != Frame::top && last == '{';

  if (brace_body || (language == Language::python && opens_python_block(line, around))) {
    cursor.opens_block = true;
    const bool module = around.frame == Frame::name_space;
    return decide(cursor, module ? SyntaxClass::module : SyntaxClass::function, code_follows, "a body was just opened");
  }
  if (around.frame == Frame::import_list || (starts_import(language, line.typed) && last != ';' &&
                                             !(line.touching && first_word(line.typed) == line.typed))) {
    return decide(cursor, SyntaxClass::identifier, true, "inside an import");
  }
  if (in_definition_header(language, line, around)) {
    cursor.definition_header = true;
    return decide(cursor, SyntaxClass::identifier, true, "inside the header of a definition");
  }
  if (around.frame == Frame::interpolation) {
    return decide(cursor, SyntaxClass::identifier, true, "inside an interpolation");
  }
  if (last == '.' || ends_with(line.typed, "->") || ends_with(line.typed, "::") || ends_with(line.typed, "?.")) {
    const bool return_type = ends_with(line.typed, "->") && !typed_definitions(language);
    return decide(cursor, SyntaxClass::identifier, true, return_type ? "a type name" : "a member access");
  }
  if (line.typed[0] == '@' && around.block_frame != Frame::interpolation) {
    return decide(cursor, SyntaxClass::identifier, true, "inside a decorator or an annotation");
  }
  if (line.typed[0] == '#' && language != Language::python) {
    return decide(cursor, SyntaxClass::identifier, true, "inside a directive or an attribute");
  }
  if (is_word(last) && line.touching) {
    return decide(cursor, SyntaxClass::identifier, true, "a name is being typed");
  }
  if (around.frame == Frame::argument) {
    return decide(cursor, SyntaxClass::identifier, true, "inside arguments");
  }
  if (after_statement(language, line, around)) {
    return decide(cursor, place, text_follows, "behind a finished statement");
  }
  if (one_of(last_word(line.typed), {"new", "goto", "instanceof"})) {
    return decide(cursor, SyntaxClass::identifier, true, "a name is wanted");
  }
  if (last == ':' && around.frame != Frame::literal && line.typed.find('?') == std::string_view::npos &&
      !has_word(line.typed, "lambda") && !typed_definitions(language)) {
    return decide(cursor, SyntaxClass::identifier, true, "a type name");
  }
  if (around.frame == Frame::condition) {
    return decide(cursor, SyntaxClass::function, true, "inside a condition");
  }
  const bool header = starts_control(language, line.typed) && last != ')' && last != '}';
  decide(cursor, SyntaxClass::function, text_follows || header, header ? "inside the header of a block" : "inside a statement");
}

void classify_text(const Document& document, const CursorLine& line, std::size_t offset, Cursor& cursor) {
  if (!blank_line(line.prefix) && line.touching && is_word(line.prefix.back())) {
    decide(cursor, SyntaxClass::identifier, true, "a word is being typed");
  } else {
    const bool indented = cursor.indent > 0;
    decide(cursor, indented ? SyntaxClass::function : SyntaxClass::module, !blank_line(line.suffix),
           indented ? "an indented line of plain text" : "a line of plain text");
  }
  set_scope_by_indent(document, offset, cursor.indent, cursor);
}

}  // namespace

std::string_view name(SyntaxClass syntax_class) {
  switch (syntax_class) {
    case SyntaxClass::identifier: return "identifier";
    case SyntaxClass::function: return "function";
    case SyntaxClass::module: return "module";
    case SyntaxClass::none: return "none";
  }
  return "none";
}

Cursor classify(const Document& document, const SyntaxTree* tree, std::size_t offset) {
  const std::string_view text = document.text();
  offset = std::min(offset, text.size());
  const CursorLine line = line_at(document, offset);
  Cursor cursor;
  cursor.scope_end = text.size();
  cursor.indent = std::min(blanks(line.prefix), line.prefix.size());
  if (tree == nullptr) {
    classify_text(document, line, offset, cursor);
    return cursor;
  }
  const Language language = cursor.language = tree->language();

  const auto at = static_cast<std::uint32_t>(offset == 0 ? 0 : offset - 1);
  const TSNode root = ts_tree_root_node(tree->get());
  const TSNode leaf = ts_node_descendant_for_byte_range(root, at, static_cast<std::uint32_t>(offset));
  cursor.node = ts_node_type(ts_node_named_descendant_for_byte_range(root, at, static_cast<std::uint32_t>(offset)));

  const Lexed lexed = lex(language, text.substr(0, offset));
  const bool healthy = !ts_node_has_error(root) && offset > 0;
  const Literal literal = healthy ? literal_at(leaf, offset, text) : literal_at(lexed);
  cursor.in_comment = literal == Literal::comment;
  cursor.in_string = literal == Literal::string;

  const Enclosure around = enclosure(language, document, offset, lexed);
  const bool indented = language == Language::python && cursor.indent > 0 &&
                        header_line_above(document, document.line_of(offset), cursor.indent) < document.line_count();
  if (around.block < text.size()) {
    set_scope_by_brace(document, *tree, around.block, offset, cursor);
  } else if (language == Language::python && cursor.indent > 0) {
    set_scope_by_indent(document, offset, cursor.indent, cursor);
  }

  if (cursor.in_comment) {
    decide(cursor, SyntaxClass::none, true, "inside a comment");
  } else if (cursor.in_string && !starts_import(language, line.typed)) {
    decide(cursor, SyntaxClass::none, true, "inside a string");
  } else if (line.typed.empty()) {
    classify_fresh_line(around, indented, !blank_line(line.suffix) && !only_closers(line.suffix), cursor);
  } else {
    classify_typed_line(language, line, around, indented, cursor);
  }
  return cursor;
}

}  // namespace context
