// Parses an edit before anyone sees it: new errors are faults, and the tree splits the text into steps.
#include "context/check.h"

#include <tree_sitter/api.h>

#include <algorithm>
#include <utility>

#include "context/enclosure.h"
#include "context/lex.h"

namespace context {

namespace {

struct Edited {
  std::shared_ptr<const Document> document;
  std::shared_ptr<const SyntaxTree> tree;
};

Edited apply(const Document& document, const SyntaxTree& tree, std::size_t start, std::size_t end,
             std::string_view replacement) {
  AppliedEdit edit;
  Edited result;
  result.document = document.with_edit(start, end, std::string(replacement), document.version(), &edit);
  result.tree = reparse(tree, {edit}, result.document->text());
  return result;
}

std::size_t all_errors(const Edited& edited) {
  return edited.tree == nullptr ? 0 : count_errors(*edited.tree, 0, edited.document->text().size());
}

std::string closers_of(const std::vector<Bracket>& open) {
  std::string closers;
  for (auto bracket = open.rbegin(); bracket != open.rend(); ++bracket) {
    closers += bracket->kind == '(' ? ')' : bracket->kind == '[' ? ']' : '}';
  }
  return closers;
}

// Ways to finish what a suggestion may rightly leave unfinished: brackets it opened, a header without its body, a
// statement without its semicolon. An insertion that parses with one of these is sound.
std::vector<std::string> endings(Language language, std::string_view line_prefix, std::string_view insertion,
                                 std::string_view rest_of_line) {
  const std::string joined = std::string(line_prefix) + std::string(insertion) + std::string(rest_of_line);
  const std::string closers = closers_of(lex(language, joined).open);
  const std::size_t newline = joined.rfind('\n');
  const std::string last_line = newline == std::string::npos ? joined : joined.substr(newline + 1);
  if (language != Language::python) {
    return {closers, closers + ";", closers + " {}"};
  }
  const std::string indent = last_line.substr(0, last_line.find_first_not_of(" \t"));
  const std::string_view typed = trim_blanks(last_line);
  if (!typed.empty() && typed[0] == '@') {
    return {closers, closers + "\n" + indent + "def f(): pass"};
  }
  const std::string body = "\n" + indent + "    pass";
  return {closers, closers + ": pass", closers + body, closers + body + "\n" + indent + "finally:" + body};
}

// One question to the parser, with what is needed to ask it of any part of the insertion.
struct Question {
  const Document& document;
  const SyntaxTree& tree;
  std::size_t offset;
  std::size_t replaced;
  std::size_t errors_before;
  std::size_t line_end;       // of the line at offset + replaced
  std::size_t errors_without_line;
};

std::string_view line_prefix_of(const Question& question) {
  const std::size_t start = question.document.line_start(question.document.line_of(question.offset));
  return std::string_view(question.document.text()).substr(start, question.offset - start);
}

// An unfinished line makes errors that an insertion removes, and so would hide the ones it brings. Where an error
// touches the insertion, the text without the cursor's line is what it has to live up to.
bool is_sound(const Question& question, const Edited& after, std::size_t size, std::size_t errors) {
  const std::size_t own = count_errors(*after.tree, question.offset, question.offset + size);
  return errors <= question.errors_without_line || (errors <= question.errors_before && own == 0);
}

struct Answer {
  bool sound = true;
  std::size_t errors = 0;
  Edited edited;
};

Answer ask(const Question& question, std::string_view insertion) {
  const std::size_t replaced_end = question.offset + question.replaced;
  Answer answer;
  answer.edited = apply(question.document, question.tree, question.offset, replaced_end, insertion);
  answer.errors = all_errors(answer.edited);
  if (answer.edited.tree == nullptr || is_sound(question, answer.edited, insertion.size(), answer.errors)) {
    return answer;
  }
  const std::string_view rest =
      std::string_view(question.document.text()).substr(replaced_end, question.line_end - replaced_end);
  const std::size_t end = question.offset + insertion.size() + rest.size();
  for (const std::string& ending : endings(question.tree.language(), line_prefix_of(question), insertion, rest)) {
    if (ending.empty()) {
      continue;
    }
    const Edited finished = apply(*answer.edited.document, *answer.edited.tree, end, end, ending);
    const std::size_t errors = all_errors(finished);
    if (finished.tree != nullptr && is_sound(question, finished, insertion.size(), errors)) {
      answer.errors = errors;
      return answer;
    }
  }
  answer.sound = false;
  return answer;
}

// The first error that touches [start, end], its own start; `end` where none starts there.
std::size_t first_error(const SyntaxTree& tree, std::size_t start, std::size_t end) {
  TSNode node = ts_tree_root_node(tree.get());
  for (bool descended = true; descended;) {
    descended = false;
    const std::uint32_t count = ts_node_child_count(node);
    for (std::uint32_t i = 0; i < count; ++i) {
      const TSNode child = ts_node_child(node, i);
      const std::size_t first = ts_node_start_byte(child);
      if (ts_node_end_byte(child) < start || first > end || !ts_node_has_error(child)) {
        continue;
      }
      if ((ts_node_is_error(child) || ts_node_is_missing(child)) && first >= start) {
        return first;
      }
      node = child;
      descended = true;
      break;
    }
  }
  return end;
}

// The first line of the insertion that brings a fault, by halving: parts of a sound text are sound once their brackets
// are closed.
std::size_t locate_fault(const Question& question, std::string_view insertion, const Answer& whole) {
  std::vector<std::size_t> ends;
  for (std::size_t newline = insertion.find('\n'); newline != std::string_view::npos;
       newline = insertion.find('\n', newline + 1)) {
    ends.push_back(newline);
  }
  ends.push_back(insertion.size());
  std::size_t good = 0;  // lines known to be sound together
  std::size_t bad = ends.size();
  while (bad - good > 1) {
    const std::size_t middle = good + (bad - good) / 2;
    (ask(question, insertion.substr(0, ends[middle - 1])).sound ? good : bad) = middle;
  }
  const std::size_t line_start = good == 0 ? 0 : ends[good - 1];
  const std::size_t error =
      first_error(*whole.edited.tree, question.offset + line_start, question.offset + insertion.size()) - question.offset;
  return error <= ends[bad - 1] ? error : line_start;
}

bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

bool ends_with(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

// What an expression or a declaration inside a statement is about.
const char* focus_of_part(std::string_view type) {
  if (contains(type, "call") || contains(type, "invocation") || contains(type, "object_creation") || type == "await") {
    return "call";
  }
  if (contains(type, "assignment") || contains(type, "update_expression") || contains(type, "inc_statement")) {
    return "assignment";
  }
  if (contains(type, "if_") || contains(type, "match_") || contains(type, "switch")) {
    return "condition";
  }
  if (contains(type, "for_") || contains(type, "while_") || contains(type, "loop_")) {
    return "loop";
  }
  if (contains(type, "return")) {
    return "return";
  }
  if (contains(type, "lambda") || contains(type, "arrow_function") || contains(type, "closure") ||
      contains(type, "function_expression")) {
    return "definition";
  }
  return "";
}

// The focus of a statement, a definition or a clause; empty for nodes that are none.
std::string focus_of(TSNode node) {
  const std::string_view type = ts_node_type(node);
  if (contains(type, "comment")) {
    return "comment";
  }
  if (contains(type, "import") || type == "use_declaration" || type == "preproc_include" || type == "package_clause" ||
      type == "package_declaration" || type == "using_declaration") {
    return "import";
  }
  if (type == "else_clause" || type == "elif_clause" || type == "switch_case" || type == "switch_default" ||
      type == "case_clause" || type == "case_statement" || type == "match_arm" || type == "default_case" ||
      type == "expression_case" || type == "type_case" || type == "switch_block_statement_group") {
    return "branch";
  }
  if (type == "except_clause" || type == "finally_clause" || type == "catch_clause" || type == "try_statement") {
    return "exception";
  }
  if (type == "throw_statement" || type == "raise_statement") {
    return "throw";
  }
  if (type == "return_statement" || type == "yield" || type == "return_expression") {
    return "return";
  }
  if (type == "if_statement" || type == "switch_statement" || type == "match_statement" || type == "if_expression" ||
      type == "match_expression" || ends_with(type, "switch_statement") || type == "switch_expression") {
    return "condition";
  }
  if (type == "while_statement" || type == "do_statement" || type == "loop_expression" || type == "for_expression" ||
      type == "while_expression" || (contains(type, "for_") && ends_with(type, "statement")) || type == "for_range_loop") {
    return "loop";
  }
  if (contains(type, "function_definition") || contains(type, "function_declaration") || type == "function_item" ||
      contains(type, "method_de") || contains(type, "class_de") || contains(type, "interface_de") ||
      contains(type, "enum_de") || type == "decorated_definition" || contains(type, "struct_") || type == "enum_item" ||
      contains(type, "impl_item") || contains(type, "trait_item") || contains(type, "type_de") ||
      contains(type, "type_alias") || type == "class_specifier" || type == "constructor_declaration" ||
      type == "namespace_definition" || type == "mod_item" || contains(type, "record_de")) {
    return "definition";
  }
  if (type == "expression_statement") {
    const TSNode expression = ts_node_named_child(node, 0);
    const std::string part = ts_node_is_null(expression) ? "" : focus_of_part(ts_node_type(expression));
    return part.empty() ? "statement" : part;
  }
  if (contains(type, "declaration") || type == "assignment_statement" || contains(type, "const_item") ||
      contains(type, "static_item") || contains(type, "field_definition")) {
    return "assignment";
  }
  if (ends_with(type, "_statement") && type != "compound_statement") {
    return "statement";
  }
  return "";
}

// Nodes whose named children are statements, whatever their own types: a Rust block may end in a bare expression.
bool holds_statements(TSNode node) {
  const std::string_view type = ts_node_type(node);
  return type == "module" || type == "program" || type == "translation_unit" || type == "source_file" ||
         contains(type, "block") || ends_with(type, "_body") || type == "compound_statement" ||
         type == "statement_list" || type == "declaration_list" || type == "field_declaration_list";
}

struct Boundary {
  std::size_t at = 0;
  std::string focus;
};

// Appends where statements start within (start, end), and remembers the innermost one around `start` in `first`.
void collect(TSNode node, std::size_t start, std::size_t end, std::string& first, std::vector<Boundary>& found) {
  const bool statements = holds_statements(node);
  TSTreeCursor cursor = ts_tree_cursor_new(node);
  for (bool more = ts_tree_cursor_goto_first_child(&cursor); more; more = ts_tree_cursor_goto_next_sibling(&cursor)) {
    const TSNode child = ts_tree_cursor_current_node(&cursor);
    const std::size_t from = ts_node_start_byte(child);
    if (from >= end || ts_node_end_byte(child) < start || !ts_node_is_named(child)) {
      continue;
    }
    std::string focus = focus_of(child);
    if (focus.empty() && statements && !holds_statements(child)) {
      const std::string part = focus_of_part(ts_node_type(child));
      focus = part.empty() ? "statement" : part;
    }
    if (!focus.empty() && from <= start) {
      first = focus;
    } else if (!focus.empty() && (found.empty() || found.back().at < from)) {
      found.push_back({from, focus});
    }
    collect(child, start, end, first, found);
  }
  ts_tree_cursor_delete(&cursor);
}

// The parts of a single statement: the arguments, parameters or operands that the insertion brings.
void collect_parts(TSNode root, std::size_t start, std::size_t end, std::string& first, std::vector<Boundary>& found) {
  const TSNode node = ts_node_named_descendant_for_byte_range(root, static_cast<std::uint32_t>(start),
                                                              static_cast<std::uint32_t>(end));
  const std::string_view type = ts_node_type(node);
  const bool arguments = contains(type, "argument");
  const bool parameters = contains(type, "parameter");
  const std::string common = arguments ? "argument" : parameters ? "parameter" : "";
  for (std::uint32_t i = 0; i < ts_node_named_child_count(node); ++i) {
    const TSNode child = ts_node_named_child(node, i);
    const std::size_t from = ts_node_start_byte(child);
    const std::string part = common.empty() ? focus_of_part(ts_node_type(child)) : common;
    if (from > start && from < end && !part.empty()) {
      found.push_back({from, part});
    }
  }
  if (!common.empty()) {
    first = common;
  }
}

}  // namespace

Verdict check_insertion(const Document& document, const SyntaxTree* tree, std::size_t offset, std::size_t replaced,
                        std::string_view insertion) {
  Verdict verdict;
  if (tree == nullptr) {
    return verdict;
  }
  offset = std::min(offset, document.text().size());
  replaced = std::min(replaced, document.text().size() - offset);
  verdict.errors_before = count_errors(*tree, 0, document.text().size());
  const std::size_t line_start = document.line_start(document.line_of(offset));
  const std::size_t line_end = std::max(document.line_end(document.line_of(offset + replaced)), offset + replaced);
  Question question{document, *tree, offset, replaced, verdict.errors_before, line_end, 0};
  if (verdict.errors_before > 0) {
    question.errors_without_line = all_errors(apply(document, *tree, line_start, line_end, ""));
  }
  const Answer answer = ask(question, insertion);
  verdict.ok = answer.sound;
  verdict.errors_after = answer.errors;
  if (!answer.sound) {
    verdict.fault = locate_fault(question, insertion, answer);
  }
  return verdict;
}

std::vector<Step> split_steps(const Document& document, const SyntaxTree* tree, std::size_t offset,
                              std::size_t replaced, std::string_view insertion) {
  if (insertion.empty()) {
    return {};
  }
  if (tree == nullptr) {
    return {{0, insertion.size(), "text"}};
  }
  offset = std::min(offset, document.text().size());
  replaced = std::min(replaced, document.text().size() - offset);
  const Edited after = apply(document, *tree, offset, offset + replaced, insertion);
  if (after.tree == nullptr) {
    return {{0, insertion.size(), "text"}};
  }
  // Blanks that open the insertion belong to its first statement.
  const std::size_t lead = std::min(insertion.find_first_not_of(" \t\r\n"), insertion.size());
  const std::size_t start = offset + lead;
  const std::size_t end = offset + insertion.size();
  const TSNode root = ts_tree_root_node(after.tree->get());
  std::string first = "statement";
  std::vector<Boundary> found;
  collect(root, start, end, first, found);
  if (found.empty()) {
    collect_parts(root, start, end, first, found);
  }
  std::sort(found.begin(), found.end(), [](const Boundary& a, const Boundary& b) { return a.at < b.at; });

  std::vector<Step> steps{{0, insertion.size(), first}};
  for (const Boundary& boundary : found) {
    // A step ends with its last mark; the blanks behind it open the next one, so that a text cut at a step's end ends well.
    std::size_t at = boundary.at - offset;
    while (at > 0 && is_blank(insertion[at - 1])) {
      --at;
    }
    if (at > steps.back().start && at > lead) {
      steps.back().end = at;
      steps.push_back({at, insertion.size(), boundary.focus});
    }
  }
  return steps;
}

}  // namespace context
