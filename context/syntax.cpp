// Runs tree-sitter: full and incremental parses, error counts, and the tracker of one open document.
#include "context/syntax.h"

#include <tree_sitter/api.h>

#include <cassert>
#include <limits>
#include <utility>

extern "C" {
const TSLanguage* tree_sitter_python();
const TSLanguage* tree_sitter_c();
const TSLanguage* tree_sitter_cpp();
const TSLanguage* tree_sitter_javascript();
const TSLanguage* tree_sitter_typescript();
const TSLanguage* tree_sitter_tsx();
const TSLanguage* tree_sitter_rust();
const TSLanguage* tree_sitter_go();
const TSLanguage* tree_sitter_java();
}

namespace context {

namespace {

const TSLanguage* grammar(Language language) {
  switch (language) {
    case Language::none: return nullptr;
    case Language::python: return tree_sitter_python();
    case Language::c: return tree_sitter_c();
    case Language::cpp: return tree_sitter_cpp();
    case Language::javascript: return tree_sitter_javascript();
    case Language::typescript: return tree_sitter_typescript();
    case Language::tsx: return tree_sitter_tsx();
    case Language::rust: return tree_sitter_rust();
    case Language::go: return tree_sitter_go();
    case Language::java: return tree_sitter_java();
  }
  return nullptr;
}

struct ParserDelete {
  void operator()(TSParser* parser) const { ts_parser_delete(parser); }
};

struct TreeDelete {
  void operator()(TSTree* tree) const { ts_tree_delete(tree); }
};

// `old` may be null. A parser is cheap to make next to what a parse costs, so none is kept.
std::shared_ptr<const SyntaxTree> run_parser(Language language, const TSTree* old, std::string_view text) {
  const TSLanguage* const tables = grammar(language);
  if (tables == nullptr || text.size() > std::numeric_limits<std::uint32_t>::max()) {
    return nullptr;
  }
  const std::unique_ptr<TSParser, ParserDelete> parser(ts_parser_new());
  const bool accepted = ts_parser_set_language(parser.get(), tables);
  assert(accepted && "the pinned core takes every pinned grammar");
  static_cast<void>(accepted);
  TSTree* const tree =
      ts_parser_parse_string(parser.get(), old, text.data(), static_cast<std::uint32_t>(text.size()));
  return tree == nullptr ? nullptr : std::make_shared<const SyntaxTree>(language, tree);
}

TSPoint to_ts(Point point) { return {point.row, point.column}; }

}  // namespace

SyntaxTree::~SyntaxTree() { ts_tree_delete(tree_); }

std::shared_ptr<const SyntaxTree> parse(Language language, std::string_view text) {
  return run_parser(language, nullptr, text);
}

std::shared_ptr<const SyntaxTree> reparse(const SyntaxTree& before, const std::vector<AppliedEdit>& edits,
                                          std::string_view text) {
  // The copy shares its nodes with `before`; editing it leaves `before` as its readers know it.
  const std::unique_ptr<TSTree, TreeDelete> old(ts_tree_copy(before.get()));
  for (const AppliedEdit& edit : edits) {
    const TSInputEdit input{static_cast<std::uint32_t>(edit.start),
                            static_cast<std::uint32_t>(edit.old_end),
                            static_cast<std::uint32_t>(edit.new_end),
                            to_ts(edit.start_point),
                            to_ts(edit.old_end_point),
                            to_ts(edit.new_end_point)};
    ts_tree_edit(old.get(), &input);
  }
  return run_parser(before.language(), old.get(), text);
}

std::size_t count_errors(const SyntaxTree& tree, std::size_t start, std::size_t end) {
  std::size_t errors = 0;
  TSTreeCursor cursor = ts_tree_cursor_new(ts_tree_root_node(tree.get()));
  for (bool more = true; more;) {
    const TSNode node = ts_tree_cursor_current_node(&cursor);
    const std::size_t first = ts_node_start_byte(node);
    const std::size_t last = ts_node_end_byte(node);
    // MISSING nodes have no width, so both edges of the range count as inside.
    const bool touches = first <= end && last >= start;
    if (touches && (ts_node_is_error(node) || ts_node_is_missing(node))) {
      ++errors;
    }
    const bool worth_entering = touches && ts_node_has_error(node);
    if (worth_entering && ts_tree_cursor_goto_first_child(&cursor)) {
      continue;
    }
    while (more && !ts_tree_cursor_goto_next_sibling(&cursor)) {
      more = ts_tree_cursor_goto_parent(&cursor);
    }
  }
  ts_tree_cursor_delete(&cursor);
  return errors;
}

SyntaxTracker::SyntaxTracker(Language language, std::shared_ptr<const Document> document)
    : language_(language), newest_(std::move(document)) {}

void SyntaxTracker::edited(std::shared_ptr<const Document> document, const std::vector<AppliedEdit>& edits) {
  const std::lock_guard lock(edits_mutex_);
  newest_ = std::move(document);
  pending_.insert(pending_.end(), edits.begin(), edits.end());
}

SyntaxTracker::Parsed SyntaxTracker::parsed() {
  const std::lock_guard parsing(parse_mutex_);
  std::shared_ptr<const Document> document;
  std::vector<AppliedEdit> edits;
  {
    // Snapshot and edits are taken together: what arrives from here on belongs to the next parse.
    const std::lock_guard lock(edits_mutex_);
    document = newest_;
    edits.swap(pending_);
  }
  if (document == last_.document) {
    return last_;
  }
  last_.tree = last_.tree == nullptr ? parse(language_, document->text())
                                     : reparse(*last_.tree, edits, document->text());
  last_.document = std::move(document);
  return last_;
}

}  // namespace context
