// Reads function definitions of nine grammars: they differ in names of nodes and in who wraps whom, hardly in anything else.
#include "context/function.h"

#include <tree_sitter/api.h>

#include <algorithm>
#include <cctype>
#include <cstring>
#include <string_view>

#include "context/enclosure.h"
#include "context/lex.h"

namespace context {
namespace {

std::string_view type_of(TSNode node) { return ts_node_is_null(node) ? std::string_view() : ts_node_type(node); }

std::string_view text_of(const Document& document, TSNode node) {
  return std::string_view(document.text()).substr(ts_node_start_byte(node), ts_node_end_byte(node) - ts_node_start_byte(node));
}

TSNode field(TSNode node, const char* name) {
  return ts_node_child_by_field_name(node, name, static_cast<std::uint32_t>(std::strlen(name)));
}

bool is_comment(TSNode node) { return type_of(node).find("comment") != std::string_view::npos; }

bool is_function(TSNode node) {
  return one_of(type_of(node), {"function_definition", "function_declaration", "generator_function_declaration",
                                "method_definition", "function_item", "method_declaration", "constructor_declaration",
                                "arrow_function", "function_expression"});
}

// Nodes that belong to the definition inside them.
bool wraps_definition(TSNode node) {
  return one_of(type_of(node), {"decorated_definition", "export_statement", "template_declaration", "variable_declarator",
                                "lexical_declaration", "variable_declaration"});
}

bool is_type(TSNode node) {
  return one_of(type_of(node), {"class_definition", "class_declaration", "class_specifier", "struct_specifier", "impl_item",
                                "trait_item", "interface_declaration", "enum_declaration", "record_declaration", "class"});
}

// The name of a definition. Declarators of C nest: `int *(*f(int x))[3]`.
std::string name_of(const Document& document, TSNode node) {
  TSNode name = field(node, "name");
  for (TSNode at = field(node, "declarator"); ts_node_is_null(name) && !ts_node_is_null(at); at = field(at, "declarator")) {
    if (ts_node_is_null(field(at, "declarator"))) name = at;
  }
  if (ts_node_is_null(name) && type_of(ts_node_parent(node)) == "variable_declarator") {
    name = field(ts_node_parent(node), "name");
  }
  return ts_node_is_null(name) ? "" : std::string(text_of(document, name));
}

std::string type_around(const Document& document, TSNode node) {
  for (TSNode at = ts_node_parent(node); !ts_node_is_null(at); at = ts_node_parent(at)) {
    if (is_function(at)) return "";
    if (!is_type(at)) continue;
    TSNode name = field(at, "name");
    if (ts_node_is_null(name)) name = field(at, "type");
    return ts_node_is_null(name) ? "" : std::string(text_of(document, name));
  }
  return "";
}

// The identifier that a parameter introduces.
std::string parameter_name(const Document& document, TSNode node) {
  if (type_of(node) == "identifier") return std::string(text_of(document, node));
  for (const char* key : {"name", "pattern", "declarator"}) {
    const TSNode inner = field(node, key);
    if (!ts_node_is_null(inner)) return parameter_name(document, inner);
  }
  // Python's `a: int`, `*args` and C's `*p` hold the name as their first child.
  const TSNode first = ts_node_named_child(node, 0);
  if (ts_node_is_null(first)) return "";
  const bool holder = one_of(type_of(node), {"typed_parameter", "list_splat_pattern", "dictionary_splat_pattern",
                                             "pointer_declarator", "reference_declarator", "mut_pattern", "rest_pattern"});
  return holder ? parameter_name(document, first) : "";
}

std::vector<std::string> parameters_of(const Document& document, TSNode node) {
  TSNode list = field(node, "parameters");
  for (TSNode at = field(node, "declarator"); ts_node_is_null(list) && !ts_node_is_null(at); at = field(at, "declarator")) {
    list = field(at, "parameters");
  }
  std::vector<std::string> names;
  for (std::uint32_t i = 0; !ts_node_is_null(list) && i < ts_node_named_child_count(list); ++i) {
    const std::string name = parameter_name(document, ts_node_named_child(list, i));
    if (!name.empty() && name != "self" && name != "cls" && name != "this") names.push_back(name);
  }
  return names;
}

std::string indent_at(const Document& document, std::size_t offset) {
  const std::size_t start = document.line_start(document.line_of(offset));
  const std::size_t end = std::min(document.text().find_first_not_of(" \t", start), document.text().size());
  return document.text().substr(start, std::min(end, offset) - start);
}

// One level of indentation as the text has it: the first indented line says; else the language's habit.
std::string indent_unit(const Document& document, Language language) {
  for (std::size_t line = 0; line < std::min<std::size_t>(document.line_count(), 400); ++line) {
    const std::string indent = indent_at(document, document.line_end(line));
    const bool text_follows = document.line_start(line) + indent.size() < document.line_end(line);
    const char first = text_follows ? document.text()[document.line_start(line) + indent.size()] : '*';
    if (!indent.empty() && first != '*' && indent.size() <= 8) return indent[0] == '\t' ? "\t" : indent;
  }
  if (language == Language::go) return "\t";
  const bool narrow = language == Language::javascript || language == Language::typescript || language == Language::tsx;
  return narrow ? "  " : "    ";
}

bool same_line(const Document& document, std::size_t a, std::size_t b) { return document.line_of(a) == document.line_of(b); }

bool is_docstring(TSNode statement) {
  return type_of(statement) == "expression_statement" && ts_node_named_child_count(statement) == 1 &&
         type_of(ts_node_named_child(statement, 0)) == "string";
}

// Whether a body's only statement stands for one that nobody wrote yet.
bool is_placeholder(std::string_view statement) {
  std::string text;
  for (const char c : statement) {
    if (c != ' ' && c != '_' && c != '\t' && c != '\n') text += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  if (text == "pass" || text == "..." || text == ";") return true;
  const bool leaves = text.rfind("raise", 0) == 0 || text.rfind("throw", 0) == 0 || text.rfind("panic", 0) == 0 ||
                      text.rfind("todo!", 0) == 0 || text.rfind("unimplemented!", 0) == 0;
  return leaves && (text.find("notimplemented") != std::string::npos || text.find("todo") != std::string::npos ||
                    text.find("unimplemented") != std::string::npos || text.find("unsupportedoperation") != std::string::npos);
}

// The docstring and the comments that open a body stay; what follows is code.
void read_body(const Document& document, TSNode node, TSNode body, Function& out) {
  out.code_start = out.header_end;
  std::vector<TSNode> statements;
  const auto see = [&](TSNode child) {
    const std::size_t from = ts_node_start_byte(child);
    if (from < out.header_end || from >= out.body_end) return;
    if (is_comment(child) && statements.empty()) out.code_start = ts_node_end_byte(child);
    if (!is_comment(child)) statements.push_back(child);
    if (!out.braces && statements.size() == 1 && is_docstring(child)) {
      out.documented = true;
      out.code_start = ts_node_end_byte(child);
      statements.clear();
    }
  };
  // tree-sitter puts comments in front of Python's first statement beside the body, not into it.
  for (std::uint32_t i = 0; !out.braces && i < ts_node_named_child_count(node); ++i) {
    if (is_comment(ts_node_named_child(node, i))) see(ts_node_named_child(node, i));
  }
  for (std::uint32_t i = 0; !ts_node_is_null(body) && i < ts_node_named_child_count(body); ++i) see(ts_node_named_child(body, i));
  // Go's block holds a list of its own.
  if (statements.size() == 1 && type_of(statements[0]) == "statement_list") {
    const TSNode list = statements[0];
    statements.clear();
    for (std::uint32_t i = 0; i < ts_node_named_child_count(list); ++i) see(ts_node_named_child(list, i));
  }
  // A line comment may end with the line break that belongs to the text behind it.
  while (out.code_start > out.header_end && is_blank(document.text()[out.code_start - 1])) --out.code_start;
  out.stub = statements.empty() || (statements.size() == 1 && is_placeholder(text_of(document, statements[0])));
  const bool indented = !statements.empty() && !same_line(document, ts_node_start_byte(statements[0]), out.definition);
  out.body_indent = indented ? indent_at(document, ts_node_start_byte(statements[0]))
                             : out.indent + indent_unit(document, Language::none);
}

std::optional<Function> read_function(const Document& document, Language language, TSNode node) {
  Function out;
  out.name = name_of(document, node);
  const TSNode body = field(node, "body");
  if (out.name.empty() || ts_node_is_null(body)) return std::nullopt;
  TSNode outer = node;
  while (wraps_definition(ts_node_parent(outer))) outer = ts_node_parent(outer);
  out.definition = ts_node_start_byte(type_of(ts_node_parent(node)) == "decorated_definition" ? node : outer);
  out.start = ts_node_start_byte(outer);
  out.end = ts_node_end_byte(outer);
  TSNode above = ts_node_prev_sibling(outer);
  for (; type_of(above) == "attribute_item"; above = ts_node_prev_sibling(above)) out.start = ts_node_start_byte(above);
  const std::string& text = document.text();
  const std::size_t first = ts_node_start_byte(body);
  out.braces = language != Language::python;
  if (out.braces) {
    if (first >= text.size() || text[first] != '{') return std::nullopt;  // an arrow function's expression
    out.header_end = first + 1;
    const std::size_t last = ts_node_end_byte(body);
    out.body_end = last > first + 1 && text[last - 1] == '}' ? last - 1 : last;
    out.documented = is_comment(above) && document.line_of(ts_node_end_byte(above) - 1) + 1 >= document.line_of(out.start) &&
                     document.line_of(ts_node_end_byte(above)) <= document.line_of(out.start);
  } else {
    for (std::uint32_t i = 0; i < ts_node_child_count(node); ++i) {
      if (type_of(ts_node_child(node, i)) == ":") out.header_end = ts_node_end_byte(ts_node_child(node, i));
    }
    if (out.header_end == 0) return std::nullopt;
    out.body_end = std::max<std::size_t>(ts_node_end_byte(body), out.header_end);
  }
  out.indent = indent_at(document, out.definition);
  out.type = type_around(document, node);
  out.parameters = parameters_of(document, node);
  read_body(document, node, body, out);
  if (out.body_indent == out.indent + indent_unit(document, Language::none)) {
    out.body_indent = out.indent + indent_unit(document, language);
  }
  return out;
}

// A Python header whose body nobody has started: the grammar has no node for it, so its line is read.
std::optional<Function> header_alone(const Document& document, std::size_t offset) {
  const std::size_t line = document.line_of(offset);
  const std::string_view text(document.text());
  const std::string_view header = text.substr(document.line_start(line), document.line_end(line) - document.line_start(line));
  const std::string_view typed = trim_blanks(header);
  if (typed.empty() || typed.back() != ':' || !(first_word(typed) == "def" || typed.rfind("async def ", 0) == 0)) return std::nullopt;
  Function out;
  const std::size_t name = typed.find("def ") + 4;
  out.name = std::string(trim_blanks(typed.substr(name, std::min(typed.find('('), typed.size()) - name)));
  out.indent = indent_at(document, document.line_end(line));
  for (std::size_t next = line + 1; next < document.line_count(); ++next) {
    const std::string indent = indent_at(document, document.line_end(next));
    if (document.line_start(next) + indent.size() == document.line_end(next)) continue;
    if (indent.size() > out.indent.size()) return std::nullopt;  // it has a body that the parser did not understand
    break;
  }
  out.start = out.definition = document.line_start(line) + out.indent.size();
  out.end = out.header_end = out.body_end = out.code_start = document.line_start(line) + header.find_last_not_of(" \t\r") + 1;
  out.stub = true;
  out.body_indent = out.indent + indent_unit(document, Language::python);
  return out;
}

// Without recursion, because generated and minified texts nest deeper than a stack.
void collect(const Document& document, Language language, TSNode root, std::vector<Function>& found) {
  TSTreeCursor cursor = ts_tree_cursor_new(root);
  for (bool more = true; more;) {
    const TSNode node = ts_tree_cursor_current_node(&cursor);
    if (ts_node_is_named(node) && is_function(node)) {
      if (auto function = read_function(document, language, node)) found.push_back(std::move(*function));
    }
    if (ts_tree_cursor_goto_first_child(&cursor)) continue;
    while (more && !ts_tree_cursor_goto_next_sibling(&cursor)) more = ts_tree_cursor_goto_parent(&cursor);
  }
  ts_tree_cursor_delete(&cursor);
}

}  // namespace

std::vector<Function> functions_of(const Document& document, const SyntaxTree& tree) {
  std::vector<Function> found;
  collect(document, tree.language(), ts_tree_root_node(tree.get()), found);
  return found;
}

std::vector<std::string> type_names(const Document& document, const SyntaxTree& tree) {
  std::vector<std::string> names;
  const TSNode root = ts_tree_root_node(tree.get());
  for (std::uint32_t i = 0; i < ts_node_named_child_count(root); ++i) {
    TSNode node = ts_node_named_child(root, i);
    const TSNode inner = field(node, "definition");  // of a decorated one
    if (!ts_node_is_null(inner)) node = inner;
    const TSNode name = field(node, "name");
    if (is_type(node) && !ts_node_is_null(name)) names.emplace_back(text_of(document, name));
  }
  return names;
}

std::optional<Function> function_at(const Document& document, const SyntaxTree& tree, std::size_t offset) {
  offset = std::min(offset, document.text().size());
  std::optional<Function> best;
  for (Function& function : functions_of(document, tree)) {
    const bool inside = function.start <= offset && offset <= function.end;
    const bool in_front = offset < function.start && same_line(document, offset, function.start) &&
                          trim_blanks(std::string_view(document.text()).substr(offset, function.start - offset)).empty();
    if (inside || in_front) best = std::move(function);  // later ones lie deeper
  }
  if (tree.language() == Language::python) {
    // Where a body is missing, recovery may have given the header another one's.
    if (auto alone = header_alone(document, offset)) return alone;
  }
  return best;
}

}  // namespace context
