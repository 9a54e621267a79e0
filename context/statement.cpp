// Climbs from a leaf to the node that a body holds; comments are joined by lines, names compared by edit distance.
#include "context/statement.h"

#include <tree_sitter/api.h>

#include <algorithm>
#include <map>
#include <utility>

#include "context/enclosure.h"
#include "context/lex.h"

namespace context {
namespace {

std::string_view type_of(TSNode node) { return ts_node_is_null(node) ? std::string_view() : ts_node_type(node); }

bool ends_with(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

// Some grammars give a comment's mark a node of its own.
bool is_comment(TSNode node) {
  const auto named_so = [](TSNode one) { return type_of(one).find("comment") != std::string_view::npos; };
  return named_so(node) || (!ts_node_is_null(node) && named_so(ts_node_parent(node)));
}

bool is_identifier(TSNode node) { return ts_node_is_named(node) && ends_with(type_of(node), "identifier"); }

// Nodes whose named children are statements.
bool holds_statements(TSNode node) {
  const std::string_view type = type_of(node);
  return one_of(type, {"module", "program", "translation_unit", "source_file", "compound_statement", "statement_list",
                       "declaration_list", "field_declaration_list"}) ||
         ends_with(type, "block") || ends_with(type, "_body");
}

std::size_t first_code(const Document& document, std::size_t offset) {
  const std::size_t line = document.line_of(offset);
  return std::min(document.text().find_first_not_of(" \t", document.line_start(line)), document.line_end(line));
}

TSNode leaf_at(const SyntaxTree& tree, std::size_t offset) {
  const auto at = static_cast<std::uint32_t>(offset);
  return ts_node_descendant_for_byte_range(ts_tree_root_node(tree.get()), at, at + 1);
}

bool is_comment_line(const Document& document, const SyntaxTree& tree, std::size_t line) {
  const std::size_t start = first_code(document, document.line_start(line));
  return start < document.line_end(line) && is_comment(leaf_at(tree, start));
}

// Levenshtein's, where two neighbours that changed places count once; more than `most` is not told apart.
std::size_t distance(std::string_view a, std::string_view b, std::size_t most) {
  if (a.size() > b.size() + most || b.size() > a.size() + most) return most + 1;
  std::vector<std::size_t> before(b.size() + 1), above(b.size() + 1), row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::swap(before, above);
    std::swap(above, row);
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, above[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) row[j] = std::min(row[j], before[j - 2] + 1);
    }
  }
  return row[b.size()];
}

}  // namespace

std::string indent_of(const Document& document, std::size_t offset) {
  const std::size_t start = document.line_start(document.line_of(offset));
  return document.text().substr(start, first_code(document, offset) - start);
}

std::optional<Span> statement_at(const Document& document, const SyntaxTree& tree, std::size_t offset) {
  offset = std::min(offset, document.text().size());
  TSNode node = leaf_at(tree, first_code(document, offset));
  if (is_comment(node)) return std::nullopt;
  while (!ts_node_is_null(node) && !holds_statements(ts_node_parent(node))) {
    if (ts_node_is_null(ts_node_parent(node))) return std::nullopt;
    node = ts_node_parent(node);
  }
  if (ts_node_is_null(node) || !ts_node_is_named(node) || holds_statements(node)) return std::nullopt;
  Span span{ts_node_start_byte(node), ts_node_end_byte(node)};
  while (span.end > span.start && is_blank(document.text()[span.end - 1])) --span.end;
  return span;
}

std::optional<Span> comment_at(const Document& document, const SyntaxTree& tree, std::size_t offset) {
  std::size_t first = document.line_of(std::min(offset, document.text().size()));
  if (!is_comment_line(document, tree, first)) return std::nullopt;
  std::size_t last = first;
  while (first > 0 && is_comment_line(document, tree, first - 1)) --first;
  while (last + 1 < document.line_count() && is_comment_line(document, tree, last + 1)) ++last;
  // A block comment may end on a line that begins like any other.
  const TSNode node = leaf_at(tree, first_code(document, document.line_start(last)));
  std::size_t end = std::max<std::size_t>(document.line_end(last), ts_node_end_byte(node));
  while (end > 0 && is_blank(document.text()[end - 1])) --end;
  return Span{first_code(document, document.line_start(first)), end};
}

std::size_t count_empty_bodies(const SyntaxTree& tree) {
  std::size_t count = 0;
  if (tree.language() != Language::python) return count;
  TSTreeCursor cursor = ts_tree_cursor_new(ts_tree_root_node(tree.get()));
  for (bool more = true; more;) {
    const TSNode node = ts_tree_cursor_current_node(&cursor);
    bool statement = type_of(node) != "block";
    for (std::uint32_t i = 0; !statement && i < ts_node_named_child_count(node); ++i) {
      statement = type_of(ts_node_named_child(node, i)) != "comment";
    }
    count += statement ? 0 : 1;
    if (ts_tree_cursor_goto_first_child(&cursor)) continue;
    while (more && !ts_tree_cursor_goto_next_sibling(&cursor)) more = ts_tree_cursor_goto_parent(&cursor);
  }
  ts_tree_cursor_delete(&cursor);
  return count;
}

std::string identifier_at(const Document& document, const SyntaxTree& tree, std::size_t start, std::size_t end) {
  start = std::min(start, document.text().size());
  TSNode node = leaf_at(tree, start);
  if (!is_identifier(node)) return "";
  const std::size_t from = ts_node_start_byte(node);
  const std::size_t to = ts_node_end_byte(node);
  return end <= to || end == start ? document.text().substr(from, to - from) : "";
}

std::vector<std::string> similar_names(const Document& document, const SyntaxTree& tree, std::string_view wrong) {
  std::map<std::string, std::size_t> found;
  const std::size_t most = wrong.size() < 3 ? 0 : std::max<std::size_t>(1, wrong.size() / 3);
  TSTreeCursor cursor = ts_tree_cursor_new(ts_tree_root_node(tree.get()));
  for (bool more = most > 0; more;) {
    const TSNode node = ts_tree_cursor_current_node(&cursor);
    if (is_identifier(node)) {
      const std::string name = document.text().substr(ts_node_start_byte(node), ts_node_end_byte(node) - ts_node_start_byte(node));
      const std::size_t differs = name == wrong ? most + 1 : distance(name, wrong, most);
      if (differs <= most) found.emplace(name, differs);
    }
    if (ts_tree_cursor_goto_first_child(&cursor)) continue;
    while (more && !ts_tree_cursor_goto_next_sibling(&cursor)) more = ts_tree_cursor_goto_parent(&cursor);
  }
  ts_tree_cursor_delete(&cursor);
  std::vector<std::string> names;
  for (const auto& [name, differs] : found) names.push_back(name);
  std::stable_sort(names.begin(), names.end(), [&](const std::string& a, const std::string& b) { return found[a] < found[b]; });
  return names;
}

}  // namespace context
