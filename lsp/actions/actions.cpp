// The table of actions, and the rules by which syntax offers them.
#include "lsp/actions/actions.h"

#include <algorithm>

#include "context/enclosure.h"
#include "context/function.h"
#include "context/statement.h"
#include "lsp/actions/module_plan.h"

namespace lsp {
namespace {

struct Row {
  ActionKind kind;
  const char* name;
  const char* lsp_kind;
};
constexpr Row table[] = {
    {ActionKind::implement, "implement", "refactor.rewrite"},
    {ActionKind::continue_selection, "continue", "refactor.rewrite"},
    {ActionKind::rewrite, "rewrite", "refactor.rewrite"},
    {ActionKind::add_tests, "tests", "refactor.rewrite"},
    {ActionKind::document, "document", "refactor.rewrite"},
    {ActionKind::fix_diagnostic, "fix", "quickfix"},
    {ActionKind::repair, "repair", "quickfix"},
    {ActionKind::explain_last, "explain", "source"},
    {ActionKind::generate_module, "module", "source"},
};

const Row& row_of(ActionKind kind) {
  return *std::find_if(std::begin(table), std::end(table), [&](const Row& row) { return row.kind == kind; });
}

constexpr std::size_t most_fixes = 4;          // diagnostics at one place
constexpr std::size_t most_repaired_lines = 60;
constexpr std::size_t title_length = 60;

std::string one_line(std::string_view text) {
  std::string line(text.substr(0, text.find_first_of("\r\n")));
  if (line.size() <= title_length) return line;
  std::size_t end = title_length;
  while (end > 0 && (static_cast<unsigned char>(line[end]) & 0xC0) == 0x80) --end;  // between two characters
  return line.substr(0, end) + "...";
}

bool is_test(const ActionPlace& place, const context::Function& function) {
  const std::string file = place.path.substr(place.path.find_last_of('/') + 1);
  const auto has = [&](const char* part) { return file.find(part) != std::string::npos; };
  return function.name.rfind("test", 0) == 0 || function.name.rfind("Test", 0) == 0 || file.rfind("test_", 0) == 0 ||
         has("_test.") || has(".test.") || has("Test.");
}

// Helix has no other cursor than a selection of one character, and nobody continues or repairs a character.
bool is_one_character(std::string_view selected) {
  if (selected == "\r\n") return true;
  const auto continues = [](char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; };
  return !selected.empty() && std::all_of(selected.begin() + 1, selected.end(), continues);
}

// A cursor on the header means the whole function, and so does a selection that holds it.
bool means_function(const ActionPlace& place, const context::Function& function) {
  const context::Document& document = *place.document;
  if (place.start < place.end) return place.start <= function.definition && function.end <= place.end;
  const std::size_t line = document.line_of(place.start);
  return document.line_of(function.start) <= line && line <= document.line_of(function.header_end);
}

bool body_below_header(const context::Document& document, const context::Function& function) {
  return function.body_end == function.header_end || document.line_of(function.body_end) > document.line_of(function.header_end);
}

void offer_for_function(const ActionPlace& place, const context::SyntaxTree& tree, std::vector<ActionOffer>& offers) {
  const auto add = [&](ActionKind kind, const std::string& title, std::size_t at) {
    const bool here = place.start == place.end;
    offers.push_back({kind, title, here ? place.start : at, here ? place.end : at, std::nullopt});
  };
  std::optional<context::Function> function = context::function_at(*place.document, tree, place.start);
  if (place.start < place.end && !(function && function->stub)) {
    for (context::Function& one : context::functions_of(*place.document, tree)) {
      if (place.start > one.definition || one.end > place.end) continue;
      function = std::move(one);
      break;
    }
  }
  if (!function) return;
  if (function->stub) add(ActionKind::implement, "Implement " + function->name + " (loopd)", function->definition);
  if (!means_function(place, *function)) return;
  if (!function->stub && !is_test(place, *function) && !place.file.empty()) {
    add(ActionKind::add_tests, "Add tests for " + function->name + " (loopd)", function->definition);
  }
  if (!function->documented && (function->braces || body_below_header(*place.document, *function))) {
    add(ActionKind::document, "Document " + function->name + " (loopd)", function->definition);
  }
}

}  // namespace

std::string_view name(ActionKind kind) { return row_of(kind).name; }

std::optional<ActionKind> action_named(std::string_view name) {
  for (const Row& row : table) {
    if (name == row.name) return row.kind;
  }
  return std::nullopt;
}

std::string_view code_action_kind(ActionKind kind) { return row_of(kind).lsp_kind; }

std::vector<ActionOffer> offer_actions(const ActionPlace& given, const context::SyntaxTree* tree,
                                       const std::vector<Diagnosed>& diagnostics, bool has_suggestion) {
  ActionPlace place = given;
  const std::string& text = place.document->text();
  place.end = std::min(place.end, text.size());
  place.start = std::min(place.start, place.end);
  if (is_one_character(std::string_view(text).substr(place.start, place.end - place.start))) place.end = place.start;
  const std::string_view selected = context::trim_blanks(std::string_view(text).substr(place.start, place.end - place.start));

  std::vector<ActionOffer> offers;
  const auto add = [&](ActionKind kind, const std::string& title) { offers.push_back({kind, title, place.start, place.end, std::nullopt}); };
  if (tree) {
    for (const Diagnosed& one : diagnostics) {
      if (one.start > place.end || one.end < place.start || offers.size() == most_fixes) continue;
      offers.push_back({ActionKind::fix_diagnostic, "Fix: " + one_line(one.message) + " (loopd)", place.start, place.end, one});
    }
    offer_for_function(place, *tree, offers);
    if (context::comment_at(*place.document, *tree, place.start)) add(ActionKind::rewrite, "Write the code below from this comment (loopd)");
    const std::size_t lines = place.document->line_of(place.end) - place.document->line_of(place.start) + 1;
    if (!selected.empty() && lines <= most_repaired_lines) add(ActionKind::repair, "Find and repair the fault in the selection (loopd)");
  }
  if (!selected.empty()) add(ActionKind::continue_selection, "Continue the selection (loopd)");
  if (!place.file.empty() && context::trim_blanks(text).empty() && can_plan_module(place.language)) {
    add(ActionKind::generate_module, "Generate a module in this folder (loopd)");
  }
  if (has_suggestion) add(ActionKind::explain_last, "Explain the last suggestion (loopd)");
  return offers;
}

}  // namespace lsp
