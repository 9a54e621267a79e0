// What each action does: it turns into a hole in the text, or into several, and the hole is filled.
#include <algorithm>
#include <chrono>
#include <utility>

#include "context/enclosure.h"
#include "context/function.h"
#include "context/lex.h"
#include "context/statement.h"
#include "lsp/actions/parts.h"
#include "lsp/actions/external_check.h"
#include "lsp/actions/imports.h"

namespace lsp {
namespace {

constexpr std::size_t longest_rewritten = 40;  // lines that a comment may replace

// The body of the function at the place.
std::optional<Hole> implement_hole(const ActionPlace& place, const context::SyntaxTree& tree) {
  const auto function = context::function_at(*place.document, tree, place.start);
  if (!function || !function->stub) return std::nullopt;
  Hole hole = hole_at(place, function->code_start, function->braces ? function->body_end : std::max(function->body_end, function->code_start));
  hole.before = "\n" + function->body_indent;
  hole.wish = "Write the body of " + function->name + ".";
  if (function->braces) hole.after = "\n" + function->indent;
  return hole;
}

// One line that says what the function does.
std::optional<Hole> document_hole(const ActionPlace& place, const context::SyntaxTree& tree) {
  const auto function = context::function_at(*place.document, tree, place.start);
  if (!function || function->documented) return std::nullopt;
  Hole hole;
  if (function->braces) {
    const std::size_t line = place.document->line_start(place.document->line_of(function->start));
    hole = hole_at(place, line, line);
    const bool rust = place.language == context::Language::rust;
    const bool go = place.language == context::Language::go;
    hole.before = function->indent + (rust ? "/// " : go ? "// " + function->name + " " : "/** ");
    hole.after = rust || go ? "\n" : " */\n";
    hole.terminator = rust || go ? "" : "*/";
  } else {
    hole = hole_at(place, function->header_end, function->header_end);
    hole.before = "\n" + function->body_indent + "\"\"\"";
    hole.after = hole.terminator = "\"\"\"";
  }
  hole.until = Hole::Until::line;
  hole.focus = "documentation";
  hole.wish = "Say in one line what " + function->name + " does.";
  return hole;
}

// The statement below a comment, or a place for one.
std::optional<Hole> rewrite_hole(const ActionPlace& place, const context::SyntaxTree& tree) {
  const context::Document& document = *place.document;
  const auto comment = context::comment_at(document, tree, place.start);
  if (!comment) return std::nullopt;
  const std::string indent = context::indent_of(document, comment->start);
  Hole hole = hole_at(place, comment->end, comment->end);
  hole.before = "\n" + indent;
  hole.until = Hole::Until::paragraph;
  hole.wish = "Write the code that this comment describes: " + document.text().substr(comment->start, comment->end - comment->start) + "\n";
  const std::size_t next = document.line_of(comment->end) + 1;
  if (next < document.line_count() && document.line_start(next) < document.line_end(next)) {
    const auto statement = context::statement_at(document, tree, document.line_start(next));
    const bool belongs = statement && document.line_of(statement->start) == next &&
                         context::indent_of(document, statement->start) == indent &&
                         document.line_of(statement->end) - next < longest_rewritten;
    if (belongs) hole.end = statement->end;
  }
  return hole;
}

// More of what was selected, behind it.
std::optional<Hole> continue_hole(const ActionPlace& place) {
  const context::Document& document = *place.document;
  std::size_t end = place.end;
  while (end > place.start && context::is_blank(document.text()[end - 1])) --end;
  if (end == place.start) return std::nullopt;
  const std::size_t line_end = document.line_end(document.line_of(end));
  const bool rest = !context::trim_blanks(std::string_view(document.text()).substr(end, line_end - end)).empty();
  Hole hole = hole_at(place, rest ? end : line_end, rest ? end : line_end);
  const char last = document.text()[end - 1];
  const bool opens = last == '{' || (last == ':' && place.language == context::Language::python);
  if (!rest) hole.before = "\n" + context::indent_of(document, end) + (opens ? "    " : "");
  hole.until = rest ? Hole::Until::line : Hole::Until::paragraph;
  hole.wish = "Continue the code.";
  return hole;
}

Complaint differs_from(const ActionPlace& place, const Hole& hole) {
  const std::string old = squeezed(place.document->text().substr(hole.start, hole.end - hole.start));
  return [old](const std::string& text, std::size_t start, std::size_t end) {
    return squeezed(text.substr(start, end - start)) == old ? std::string("it is what stood there before") : std::string();
  };
}

// A comment line says something: more than one word, and no code that was commented out.
std::string too_short_a_comment(const std::string& text, std::size_t start, std::size_t end) {
  const std::string said = text.substr(start, end - start);
  std::size_t words = 0;
  bool in_word = false;
  for (const char c : said) {
    const bool word = context::is_word(c);
    words += word && !in_word ? 1 : 0;
    in_word = word;
  }
  return words < 2 ? "it says nothing" : "";
}

ActionResult not_applicable(const std::string& why) {
  ActionResult out;
  out.explain = {why};
  out.finish_reason = "off";
  return out;
}

}  // namespace

Hole hole_at(const ActionPlace& place, std::size_t start, std::size_t end) {
  Hole hole;
  hole.document = place.document;
  hole.language = place.language;
  hole.path = place.path;
  hole.start = start;
  hole.end = end;
  return hole;
}

std::string squeezed(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (!context::is_blank(c)) out += c;
  }
  return out;
}

void take_over(Filled filled, ActionResult& out) {
  append_steps(out.steps, filled.steps);
  add_timings(out.timings, filled.timings);
  out.explain.insert(out.explain.end(), filled.explain.begin(), filled.explain.end());
  out.depth = std::max(out.depth, filled.depth);
  out.finish_reason = filled.finish_reason;
  out.cancelled = out.cancelled || filled.cancelled;
}

ActionResult fill_in_place(const ModelPort& model, const Hole& hole, const FillOptions& options, const std::string& title, std::stop_token stop) {
  ActionResult out;
  Filled filled = fill(model, hole, options, title, std::move(stop));
  const std::string text = filled.text;
  take_over(std::move(filled), out);
  if (text.empty() || out.cancelled) return out;
  out.text = text;
  out.changes.push_back({"", false, {{hole.start, hole.end, text}}, "", nullptr});
  return out;
}

ActionResult run_action(const ModelPort& model, const ActionOffer& offer, const ActionPlace& place, const FillOptions& given,
                        const ReadFile& read_file, std::stop_token stop) {
  const auto started = std::chrono::steady_clock::now();
  const auto tree = context::parse(place.language, place.document->text());
  FillOptions options = given;
  ActionPlace at = place;
  at.start = offer.start;
  at.end = offer.end;
  std::optional<Hole> hole;
  ActionResult out;
  if (!tree && offer.kind != ActionKind::continue_selection) return not_applicable("loopd does not parse this language");
  options.complaints.push_back(unknown_imports(at.language, at.file, at.document->text(), read_file));
  options.complaints.push_back(missing_imports(at.language));
  if (options.external_check && can_check_externally(at.language)) {
    options.complaints.push_back(external_check(at.language, at.document->text()));
  }
  switch (offer.kind) {
    case ActionKind::implement: hole = implement_hole(at, *tree); break;
    case ActionKind::document:
      hole = document_hole(at, *tree);
      options.complaints.emplace_back(too_short_a_comment);
      break;
    case ActionKind::rewrite:
      hole = rewrite_hole(at, *tree);
      if (hole && hole->end > hole->start) options.complaints.push_back(differs_from(at, *hole));
      break;
    case ActionKind::continue_selection: hole = continue_hole(at); break;
    case ActionKind::add_tests: out = add_tests(model, at, *tree, options, read_file, stop); break;
    case ActionKind::fix_diagnostic: out = fix_diagnostic(model, offer, at, *tree, options, stop); break;
    case ActionKind::repair: out = repair(model, at, *tree, options, stop); break;
    case ActionKind::explain_last:
    case ActionKind::generate_module: return not_applicable("this action changes no text");
  }
  const bool by_hole = offer.kind == ActionKind::implement || offer.kind == ActionKind::document ||
                       offer.kind == ActionKind::rewrite || offer.kind == ActionKind::continue_selection;
  if (by_hole && !hole) return not_applicable("the text has changed, and the action no longer applies here");
  if (by_hole) out = fill_in_place(model, *hole, options, std::string(name(offer.kind)), stop);
  out.timings.total = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - started).count();
  out.cancelled = out.cancelled || stop.stop_requested();
  if (out.cancelled) out.changes.clear();
  return out;
}

}  // namespace lsp
