// Each draft is a completion in a text of its own, in which the hole is empty; each check is done in the real one.
#include "lsp/actions/fill.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "context/check.h"
#include "context/statement.h"
#include "context/syntax.h"
#include "lsp/actions/instruct.h"

namespace lsp {
namespace {

using Until = Hole::Until;

const std::string& opening_of(const Hole& hole, std::size_t attempt) {
  static const std::string none;
  return hole.openings.empty() ? none : hole.openings[std::min(attempt, hole.openings.size() - 1)];
}

// The text that the model completes, and where.
CompletionInput input_for(const Hole& hole, const FillOptions& options, std::size_t attempt, const std::string& advice) {
  const std::string& text = hole.document->text();
  std::string empty = text.substr(0, hole.start) + hole.hint + advice + hole.before + opening_of(hole, attempt);
  CompletionInput input;
  input.offset = empty.size();
  input.document = std::make_shared<const context::Document>(empty + hole.after + text.substr(hole.end), hole.document->version());
  input.session = options.session;
  input.path = hole.path;
  input.language = hole.language;
  input.explicit_request = true;
  input.others = options.others;
  input.options.depth = options.depth;
  input.options.max_tokens = options.max_tokens;
  input.options.budget = options.budget;
  input.options.snippet_count = options.snippet_count;
  input.options.comments = true;
  input.options.single_line = hole.until == Until::line;
  input.options.passes = options.passes;
  // What was tried and failed would only come again: each further draft is drawn, reproducibly, and a little more freely.
  if (attempt > 0) {
    input.options.temperature = 0.3F + 0.2F * static_cast<float>(attempt);
    input.options.seed = attempt;
  }
  return input;
}

// Cuts to what the hole asks for.
std::string cut(const Hole& hole, std::string text) {
  if (!hole.terminator.empty()) text.resize(std::min(text.find(hole.terminator), text.size()));
  if (hole.until == Until::paragraph) {
    const std::size_t code = text.find_first_not_of(" \t\r\n");
    const std::size_t blank = code == std::string::npos ? code : std::min(text.find("\n\n", code), text.find("\n\r\n", code));
    text.resize(std::min(blank, text.size()));
  }
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t' || text.back() == '\n' || text.back() == '\r')) text.pop_back();
  return text;
}

std::size_t faults(const context::SyntaxTree& tree, const std::string& text) {
  return context::count_errors(tree, 0, text.size()) + context::count_empty_bodies(tree);
}

// What the parser and the caller's checks say of a replacement; empty where it may be let out.
std::string complaint_of(const Hole& hole, const FillOptions& options, std::size_t errors_outside, const std::string& replacement) {
  const std::string& text = hole.document->text();
  if (errors_with(hole.language, text, hole.start, hole.end, replacement) > errors_outside) return "it would break the parse";
  for (const Complaint& complaint : options.complaints) {
    const std::string whole = text.substr(0, hole.start) + replacement + text.substr(hole.end);
    std::string said = complaint(whole, hole.start, hole.start + replacement.size());
    if (!said.empty()) return said;
  }
  return "";
}

// Errors that stand in the text already and have nothing to do with the hole. A stub may be an error itself, so that the
// text with a harmless statement in the hole says it, too.
std::size_t errors_outside(const Hole& hole) {
  const auto tree = context::parse(hole.language, hole.document->text());
  if (!tree) return 0;
  const std::string harmless = hole.before + (hole.language == context::Language::python ? "pass" : "") + hole.after;
  return std::min(faults(*tree, hole.document->text()), errors_with(hole.language, hole.document->text(), hole.start, hole.end, harmless));
}

// The longest beginning, whole syntactic steps, that passes; empty where there is none.
std::string shortened(const Hole& hole, const FillOptions& options, std::size_t errors, const std::string& written) {
  const auto tree = context::parse(hole.language, hole.document->text());
  const auto steps = context::split_steps(*hole.document, tree.get(), hole.start, hole.end - hole.start, hole.before + written);
  for (std::size_t at = steps.size(); at-- > 1;) {
    if (steps[at].start <= hole.before.size()) break;
    // Half a line would mean something else.
    const std::size_t start = steps[at].start - hole.before.size();
    const std::size_t code = std::min(written.find_first_not_of(" \t\r\n", start), written.size());
    if (written.substr(start, code - start).find('\n') == std::string::npos) continue;
    const std::string shorter = hole.before + cut(hole, written.substr(0, steps[at].start - hole.before.size()));
    if (complaint_of(hole, options, errors, shorter + hole.after).empty()) return shorter + hole.after;
  }
  return "";
}

// Does a line that ends in ')' ask for a block? Where no semicolon is needed, `return f(x)` is whole.
bool wants_block(const std::string& line) {
  static constexpr std::array<std::string_view, 7> openers = {"if", "else", "for", "while", "switch", "catch", "synchronized"};
  const std::size_t first = std::min(line.find_first_not_of(" \t}"), line.size());
  const std::size_t end = std::min(line.find_first_of(" \t(", first), line.size());
  return std::find(openers.begin(), openers.end(), std::string_view(line).substr(first, end - first)) != openers.end();
}

// A draft that is only the header of a definition is completed once more, inside its body, which is closed beforehand.
void add_body(const ModelPort& model, const CompletionInput& asked, Completion& draft, std::stop_token stop) {
  const bool braces = asked.language != context::Language::python;
  const char last = draft.text.empty() ? '\n' : draft.text.back();
  const bool header = braces ? last == '{' || (last == ')' && wants_block(draft.text)) : last == ':';
  if (!header || draft.text.find('\n') != std::string::npos || stop.stop_requested()) return;
  const std::string opened = draft.text + (last == ')' ? " {" : "");
  const std::string closed = braces ? "\n" + context::indent_of(*asked.document, asked.offset) + "}" : "";
  CompletionInput input = asked;
  input.document = asked.document->with_edit(asked.offset, asked.offset + draft.replace_after, opened + closed, asked.document->version());
  input.offset = asked.offset + opened.size();
  Completion body = complete(model, input, std::move(stop));
  std::vector<LoopStep> steps = draft.steps;
  append_steps(steps, body.steps);
  add_timings(body.timings, draft.timings);
  body.text = opened + body.text + closed;
  body.steps = std::move(steps);
  body.replace_after = draft.replace_after;
  body.explain.insert(body.explain.begin(), draft.explain.begin(), draft.explain.end());
  draft = std::move(body);
}

LoopStep check_step(int number, double ms) { return {number, "check", StepKind::verify, 0, 0, 0, ms}; }

}  // namespace

std::size_t errors_with(context::Language language, const std::string& text, std::size_t start, std::size_t end,
                        const std::string& replacement) {
  const std::string whole = text.substr(0, start) + replacement + text.substr(end);
  const auto tree = context::parse(language, whole);
  return tree ? faults(*tree, whole) : 0;
}

void append_steps(std::vector<LoopStep>& to, const std::vector<LoopStep>& more) {
  const int before = to.empty() ? 0 : to.back().step;
  for (LoopStep step : more) {
    step.step += before;
    to.push_back(std::move(step));
  }
}

void add_timings(CompletionTimings& to, const CompletionTimings& more) {
  to.parse += more.parse;
  to.prompt += more.prompt;
  to.prefill += more.prefill;
  to.decode += more.decode;
  to.check += more.check;
  to.total += more.total;
  to.prompt_tokens += more.prompt_tokens;
  to.reused_tokens += more.reused_tokens;
  to.generated_tokens += more.generated_tokens;
}

std::string with_line_ends(const context::Document& document, const std::string& text) {
  const std::size_t newline = document.text().find('\n');
  const bool crlf = newline != std::string::npos && newline > 0 && document.text()[newline - 1] == '\r';
  std::string out;
  for (const char c : text) {
    if (c == '\n' && !out.empty() && out.back() == '\r') out.pop_back();
    if (c == '\n' && crlf) out += '\r';
    out += c;
  }
  return out;
}

Filled fill(const ModelPort& model, const Hole& hole, const FillOptions& options, const std::string& name, std::stop_token stop) {
  Filled out;
  const auto say = [&](const std::string& doing) {
    if (options.progress) options.progress(name.empty() ? doing : name + ": " + doing);
  };
  const std::size_t errors = errors_outside(hole);
  const std::string comment(context::line_comment(hole.language));
  std::string advice, complaint;
  for (std::size_t attempt = 0; attempt < static_cast<std::size_t>(std::max(1, options.attempts)); ++attempt) {
    say(attempt == 0 ? "draft" : "revise, draft " + std::to_string(attempt + 1));
    Completion draft;
    if (model.answer) {
      const std::string wish = hole.wish.empty() ? "Write the missing code." : hole.wish;
      draft = draft_by_asking(model, input_for(hole, options, attempt, ""), {wish, complaint, hole.until == Hole::Until::line}, stop);
    } else {
      const CompletionInput input = input_for(hole, options, attempt, advice);
      draft = complete(model, input, stop);
      if (hole.until == Hole::Until::block) add_body(model, input, draft, stop);
    }
    std::vector<LoopStep> steps = draft.steps;
    for (LoopStep& step : steps) {
      if (!hole.focus.empty() && step.kind != StepKind::verify) step.focus = hole.focus;
      // A draft after the first one takes the place of a text that failed.
      if (attempt > 0 && step.kind == StepKind::draft) {
        step.kind = StepKind::revise;
        step.tokens_revised = std::exchange(step.tokens_generated, 0);
      }
    }
    append_steps(out.steps, steps);
    add_timings(out.timings, draft.timings);
    out.depth = draft.depth;
    out.finish_reason = draft.finish_reason;
    out.explain.insert(out.explain.end(), draft.explain.begin(), draft.explain.end());
    if (stop.stop_requested()) {
      out.cancelled = true;
      return out;
    }
    const std::string written = opening_of(hole, attempt) + cut(hole, draft.text);
    if (written == opening_of(hole, attempt)) {
      out.explain.push_back("draft " + std::to_string(attempt + 1) + " is empty");
      continue;
    }
    say("check");
    const auto started = std::chrono::steady_clock::now();
    // The draft may have taken over the rest of the hole's line.
    const std::string after = hole.after.substr(std::min(draft.replace_after, hole.after.size()));
    std::string replacement = with_line_ends(*hole.document, hole.before + written + after);
    complaint = complaint_of(hole, options, errors, replacement);
    const bool last = attempt + 1 >= static_cast<std::size_t>(options.attempts);
    if (!complaint.empty()) replacement = last ? with_line_ends(*hole.document, shortened(hole, options, errors, written)) : "";
    const double ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - started).count();
    out.timings.check += ms;
    append_steps(out.steps, {check_step(1, ms)});
    if (!complaint.empty()) {
      out.explain.push_back("draft " + std::to_string(attempt + 1) + ": " + complaint +
                            (replacement.empty() ? "" : "; its beginning was kept"));
      // The model sees what was wrong with its last try.
      const std::size_t line = hole.document->line_start(hole.document->line_of(hole.start));
      const bool own_line = hole.document->text().find_first_not_of(" \t", line) >= hole.start;
      if (own_line && !comment.empty() && complaint.find('\n') == std::string::npos) {
        advice = comment + " " + complaint + "\n" + hole.document->text().substr(line, hole.start - line);
      }
    }
    if (replacement.empty()) continue;
    out.text = std::move(replacement);
    return out;
  }
  out.explain.push_back("nothing is changed, because no draft passed the checks");
  return out;
}

}  // namespace lsp
