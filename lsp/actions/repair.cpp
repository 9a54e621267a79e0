// Mends what is there: the statement that a diagnostic points at, or the line of a selection that the model doubts most.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <utility>

#include "context/enclosure.h"
#include "context/prompt.h"
#include "context/statement.h"
#include "lsp/actions/parts.h"

namespace lsp {
namespace {

constexpr std::size_t most_suspects = 3;  // lines whose change is tried, the most doubtful first
constexpr std::size_t locate_context = 512;  // tokens that the model sees while it looks at a line

// A line of the selection, and what the model would write there.
struct Suspect {
  std::size_t start = 0;  // behind the indentation
  std::size_t end = 0;
  double doubt = 0;  // the mean log probability of what it would write; nearer to 0 is surer
  std::string instead;
};

std::string line_text(const context::Document& document, std::size_t start, std::size_t end) {
  return document.text().substr(start, end - start);
}

LoopStep step(const std::string& focus, StepKind kind, int depth, std::size_t tokens, double ms) {
  return {1, focus, kind, depth, kind == StepKind::revise ? 0 : tokens, kind == StepKind::revise ? tokens : 0, ms};
}

// Asks the model for each line of the selection in turn, as if it were not there.
std::vector<Suspect> locate(const ModelPort& model, const ActionPlace& place, const FillOptions& options, ActionResult& out,
                            std::stop_token stop) {
  const auto started = std::chrono::steady_clock::now();
  const context::Document& document = *place.document;
  std::vector<Suspect> found;
  std::size_t tokens = 0;
  const std::size_t first = document.line_of(place.start);
  const std::size_t last = document.line_of(std::max(place.start, place.end - (place.end > place.start ? 1 : 0)));
  for (std::size_t line = first; line <= last && !stop.stop_requested(); ++line) {
    const std::size_t indent = context::indent_of(document, document.line_start(line)).size();
    Suspect one{document.line_start(line) + indent, document.line_end(line), 0, ""};
    const std::string there = line_text(document, one.start, one.end);
    if (std::count_if(there.begin(), there.end(), [](unsigned char c) { return std::isalnum(c) != 0; }) < 2) continue;
    if (options.progress) options.progress("locate: line " + std::to_string(line + 1));
    const auto without = document.with_edit(one.start, one.end, "", document.version());
    context::PromptBudget budget = options.budget;
    budget.total = std::min(budget.total, locate_context);
    const auto prompt = context::build_prompt(*without, one.start, place.path, {}, budget, model.count);
    inference::GenerateParams params;
    params.depth = std::clamp(options.depth, 1, model.max_depth);
    params.max_tokens = 48;
    StopRule rule;
    rule.cursor.language = place.language;
    params.stop_rule = rule;  // the end of the line
    const auto result = model.generate(options.session, {prompt.path, {}, prompt.prefix, prompt.suffix}, params, stop);
    tokens += result.tokens.size();
    out.timings.prefill += result.timings.prefill_ms;
    out.timings.decode += result.timings.decode_ms;
    one.instead = result.text.substr(0, result.text.find_first_of("\r\n"));
    if (result.logprobs.empty() || squeezed(one.instead).empty() || squeezed(one.instead) == squeezed(there)) continue;
    double total = 0;
    for (const float logprob : result.logprobs) total += static_cast<double>(logprob);
    one.doubt = total / static_cast<double>(result.logprobs.size());
    found.push_back(std::move(one));
  }
  std::stable_sort(found.begin(), found.end(), [](const Suspect& a, const Suspect& b) { return a.doubt > b.doubt; });
  const double ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - started).count();
  append_steps(out.steps, {step("locate", StepKind::draft, std::clamp(options.depth, 1, model.max_depth), tokens, ms)});
  return found;
}

// A line that does not parse needs no model to be found.
std::optional<Suspect> broken_line(const ActionPlace& place, const context::SyntaxTree& tree) {
  const context::Document& document = *place.document;
  for (std::size_t line = document.line_of(place.start); line <= document.line_of(place.end); ++line) {
    const std::size_t start = document.line_start(line) + context::indent_of(document, document.line_start(line)).size();
    const std::size_t end = document.line_end(line);
    if (start < end && context::count_errors(tree, start + (start + 1 < end ? 1 : 0), end - 1) > 0) return Suspect{start, end, 0, ""};
  }
  return std::nullopt;
}

// Names that the text has nowhere else: a completion of 75M parameters makes them up.
Complaint keeps_names(const ActionPlace& place) {
  const std::string before = place.document->text();
  return [before](const std::string& text, std::size_t start, std::size_t end) -> std::string {
    std::string word;
    for (std::size_t i = start; i <= end && i <= text.size(); ++i) {
      const char c = i < end ? text[i] : ' ';
      if (context::is_word(c)) {
        word += c;
        continue;
      }
      const bool name = word.size() > 2 && !std::isdigit(static_cast<unsigned char>(word[0]));
      const bool called = c == '(' || c == '.';
      if (name && called && !context::has_word(before, word)) return "it uses " + word + ", which nothing here defines";
      word.clear();
    }
    return "";
  };
}

Complaint changes(const ActionPlace& place, std::size_t from, std::size_t to) {
  const std::string old = squeezed(line_text(*place.document, from, to));
  return [old](const std::string& text, std::size_t start, std::size_t end) {
    return squeezed(text.substr(start, end - start)) == old ? std::string("it is what stood there before") : std::string();
  };
}

std::string one_line(std::string message) {
  for (char& c : message) {
    if (c == '\n' || c == '\r') c = ' ';
  }
  return message.substr(0, 200);
}

// Lines that tell the model what is wrong, and how the faulty line was; they stay out of the text.
std::string advice(const ActionPlace& place, const Hole& hole, const std::string& message) {
  const std::string comment(context::line_comment(place.language));
  const std::string indent = context::indent_of(*place.document, hole.start);
  std::string lines = comment + " was: " + one_line(line_text(*place.document, hole.start, hole.end)) + "\n" + indent;
  if (!message.empty()) lines += comment + " " + one_line(message) + "\n" + indent;
  return lines;
}

// The whole lines that hold [start, end), or the statement that starts on the first of them where that is longer.
Hole faulty_hole(const ActionPlace& place, const context::SyntaxTree& tree, std::size_t start, std::size_t end) {
  const context::Document& document = *place.document;
  const std::size_t line = document.line_of(start);
  const std::size_t code = document.line_start(line) + context::indent_of(document, start).size();
  Hole hole = hole_at(place, code, std::max(document.line_end(document.line_of(end)), code));
  const auto statement = context::statement_at(document, tree, start);
  // A compound statement would lose its body; only its first line is looked at.
  const bool simple = statement && document.line_of(statement->end) - line < 4 && statement->start == code &&
                      context::indent_of(document, statement->end) == context::indent_of(document, code);
  if (simple) hole.end = std::max(hole.end, statement->end);
  hole.until = document.line_of(hole.end) == line ? Hole::Until::line : Hole::Until::paragraph;
  hole.focus = "change";
  return hole;
}

// A name that nothing defines was probably mistyped: the nearest one that is there takes its place.
bool fix_name(const ActionOffer& offer, const ActionPlace& place, const context::SyntaxTree& tree, ActionResult& out) {
  const std::string wrong = context::identifier_at(*place.document, tree, offer.diagnosed->start, offer.diagnosed->end);
  if (wrong.empty() || !context::has_word(offer.diagnosed->message, wrong)) return false;
  const auto names = context::similar_names(*place.document, tree, wrong);
  if (names.empty()) return false;
  const std::size_t start = place.document->text().rfind(wrong, offer.diagnosed->start);
  if (start == std::string::npos || start + wrong.size() < offer.diagnosed->start) return false;
  const std::size_t before = errors_with(place.language, place.document->text(), 0, 0, "");
  if (errors_with(place.language, place.document->text(), start, start + wrong.size(), names[0]) > before) return false;
  append_steps(out.steps, {step("locate", StepKind::verify, 0, 0, 0), step("change", StepKind::verify, 0, 0, 0), step("check", StepKind::verify, 0, 0, 0)});
  out.explain.push_back(wrong + " is defined nowhere here; " + names[0] + " is the nearest name that is");
  out.finish_reason = "off";
  out.text = names[0];
  out.changes.push_back({"", false, {{start, start + wrong.size(), names[0]}}, "", nullptr});
  return true;
}

}  // namespace

ActionResult fix_diagnostic(const ModelPort& model, const ActionOffer& offer, const ActionPlace& place,
                            const context::SyntaxTree& tree, const FillOptions& given, std::stop_token stop) {
  ActionResult out;
  if (!offer.diagnosed) {
    out.explain.push_back("there is no diagnostic here");
    return out;
  }
  if (fix_name(offer, place, tree, out)) return out;
  Hole hole = faulty_hole(place, tree, offer.diagnosed->start, offer.diagnosed->end);
  hole.hint = advice(place, hole, offer.diagnosed->message);
  hole.wish = "Mend this: " + one_line(offer.diagnosed->message) + ".";
  FillOptions options = given;
  options.complaints.push_back(changes(place, hole.start, hole.end));
  options.complaints.push_back(keeps_names(place));
  return fill_in_place(model, hole, options, "fix", std::move(stop));
}

ActionResult repair(const ModelPort& model, const ActionPlace& place, const context::SyntaxTree& tree, const FillOptions& given,
                    std::stop_token stop) {
  ActionResult out;
  std::vector<Suspect> suspects;
  if (const auto broken = broken_line(place, tree)) {
    suspects.push_back(*broken);
    append_steps(out.steps, {step("locate", StepKind::verify, 0, 0, 0)});
    out.explain.push_back("line " + std::to_string(place.document->line_of(broken->start) + 1) + " does not parse");
  } else {
    suspects = locate(model, place, given, out, stop);
    if (suspects.empty() && !stop.stop_requested()) out.explain.push_back("the model would write every line of the selection as it is");
  }
  for (std::size_t i = 0; i < std::min(most_suspects, suspects.size()) && !stop.stop_requested(); ++i) {
    const Suspect& one = suspects[i];
    const std::string line = "line " + std::to_string(place.document->line_of(one.start) + 1);
    Hole hole = hole_at(place, one.start, one.end);
    hole.until = Hole::Until::line;
    hole.focus = "change";
    hole.wish = "This line is wrong, write it right: " + line_text(*place.document, one.start, one.end) + "\n";
    FillOptions options = given;
    options.attempts = 2;
    options.complaints.push_back(changes(place, hole.start, hole.end));
    options.complaints.push_back(keeps_names(place));
    out.explain.push_back(line + (one.instead.empty() ? " is tried anew" : " is doubted: the model would write \"" + one.instead + "\""));
    ActionResult changed = fill_in_place(model, hole, options, line, stop);
    append_steps(out.steps, changed.steps);
    add_timings(out.timings, changed.timings);
    out.depth = std::max(out.depth, changed.depth);
    out.finish_reason = changed.finish_reason;
    out.explain.insert(out.explain.end(), changed.explain.begin(), changed.explain.end());
    if (changed.changes.empty()) continue;
    out.changes = std::move(changed.changes);
    out.text = std::move(changed.text);
    return out;
  }
  out.cancelled = stop.stop_requested();
  return out;
}

}  // namespace lsp
