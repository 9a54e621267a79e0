// Question, answer, and what of the answer is code.
#include "lsp/actions/instruct.h"

#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

#include "context/prompt.h"
#include "context/snippets.h"

namespace lsp {
namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* mark = "<<<HERE>>>";
constexpr const char* system_message = "You write code into files. You answer with one block of code and nothing else.";
constexpr std::size_t spoken = 160;  // tokens of the question's own words

double ms_since(Clock::time_point start) { return std::chrono::duration<double, std::milli>(Clock::now() - start).count(); }

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") + 1 - first);
}

std::string fenced(context::Language language, const std::string& text) {
  const std::string tag = language == context::Language::none ? "" : std::string(context::name(language));
  return "```" + tag + "\n" + text + (text.ends_with('\n') ? "" : "\n") + "```\n";
}

// What stands in the answer's first block; all of it where there is none. A block that was cut off ends with the answer.
std::string_view block_of(std::string_view answer) {
  const std::size_t fence = answer.find("```");
  if (fence == std::string_view::npos) return answer;
  const std::size_t start = answer.find('\n', fence);
  if (start == std::string_view::npos) return {};
  const std::string_view code = answer.substr(start + 1);
  return code.substr(0, code.find("```"));
}

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  for (std::size_t start = 0; start <= text.size();) {
    const std::size_t end = std::min(text.find('\n', start), text.size());
    lines.push_back(text.substr(start, end - start));
    start = end + 1;
  }
  return lines;
}

std::string_view indent_of_line(std::string_view line) { return line.substr(0, std::min(line.find_first_not_of(" \t"), line.size())); }

// The last line of `before` that is not blank.
std::string_view last_said(std::string_view before) {
  const std::size_t end = before.find_last_not_of(" \t\r\n");
  if (end == std::string_view::npos) return {};
  const std::size_t newline = before.rfind('\n', end);
  return trimmed(before.substr(newline == std::string_view::npos ? 0 : newline + 1, end + 1 - (newline == std::string_view::npos ? 0 : newline + 1)));
}

}  // namespace

std::string question(const ModelPort& model, const CompletionInput& input, const Wish& wish) {
  const auto& options = input.options;
  context::PromptBudget budget = options.budget;
  const std::size_t reserved = static_cast<std::size_t>(options.max_tokens) + spoken + model.count(wish.text) + model.count(wish.complaint);
  budget.total = std::min(budget.total, model.context > reserved + 64 ? model.context - reserved : 64);
  budget.suffix = std::min(budget.suffix, budget.total / 3);
  budget.snippets = std::min(budget.snippets, budget.total / 3);
  const auto candidates = context::similar_snippets(*input.document, input.offset, input.others, options.snippet_count);
  const auto prompt = context::build_prompt(*input.document, input.offset, input.path, candidates, budget, model.count);
  std::string text;
  for (const context::Snippet& snippet : prompt.snippets) text += "From " + snippet.path + ":\n" + fenced(input.language, snippet.text) + "\n";
  text += "In " + prompt.path + ":\n" + fenced(input.language, prompt.prefix + mark + prompt.suffix) + "\n";
  text += wish.text + " Answer with only " + (wish.one_line ? "the one line" : "the code") + " that takes the place of " + mark + ".";
  if (!wish.complaint.empty()) text += "\nThe last answer could not be used: " + wish.complaint + ".";
  return text;
}

std::string code_of_answer(std::string_view answer, std::string_view before, bool one_line) {
  std::string_view code = block_of(answer);
  const std::size_t line_start = before.rfind('\n') == std::string_view::npos ? 0 : before.rfind('\n') + 1;
  const std::string_view here = before.substr(line_start);
  std::vector<std::string_view> lines = lines_of(code);
  const auto drop_blank = [&] {
    while (!lines.empty() && trimmed(lines.front()).empty()) lines.erase(lines.begin());
  };
  drop_blank();
  // Models like to begin with the line that is there already.
  const std::string_view said = last_said(before);
  if (trimmed(here).empty() && !lines.empty() && !said.empty() && trimmed(lines.front()) == said) {
    lines.erase(lines.begin());
    drop_blank();
  }
  while (!lines.empty() && trimmed(lines.back()).empty()) lines.pop_back();
  if (lines.empty()) return "";
  const std::string_view own = indent_of_line(lines.front());
  std::string first(lines.front().substr(own.size()));
  if (!trimmed(here).empty() && first.starts_with(trimmed(here))) {
    first.erase(0, trimmed(here).size());
    // The blank between the two may stand on either side.
    if ((here.back() == ' ' || here.back() == '\t') && first.starts_with(' ')) first.erase(0, 1);
  }
  std::string out = first;
  if (out.ends_with('\r')) out.pop_back();
  if (one_line) return out;
  const std::string_view indent = indent_of_line(here);
  for (std::size_t i = 1; i < lines.size(); ++i) {
    std::string_view line = lines[i];
    if (line.ends_with('\r')) line.remove_suffix(1);
    out += '\n';
    if (trimmed(line).empty()) continue;
    out += indent;
    out += line.substr(std::min(own.size(), indent_of_line(line).size()));
  }
  return out;
}

Completion draft_by_asking(const ModelPort& model, const CompletionInput& input, const Wish& wish, std::stop_token stop) {
  const auto started = Clock::now();
  inference::GenerateParams params;
  params.depth = std::clamp(input.options.depth.value_or(1), 1, model.max_depth);
  // Fences and the odd word around the code.
  params.max_tokens = input.options.max_tokens + 32;
  params.temperature = input.options.temperature;
  params.seed = input.options.seed;
  const auto result = model.answer(input.session, system_message, question(model, input, wish), params, stop);
  Completion draft;
  draft.depth = params.depth;
  draft.finish_reason = inference::name(result.finish);
  draft.text = code_of_answer(result.text, std::string_view(input.document->text()).substr(0, input.offset), wish.one_line);
  draft.timings.prefill = result.timings.prefill_ms;
  draft.timings.decode = result.timings.decode_ms;
  draft.timings.prompt_tokens = result.timings.prompt_tokens;
  draft.timings.reused_tokens = result.timings.reused_tokens;
  draft.timings.generated_tokens = result.tokens.size();
  draft.timings.total = ms_since(started);
  LoopStep step;
  step.focus = "answer";
  step.depth = params.depth;
  step.tokens_generated = result.tokens.size();
  step.ms = result.timings.decode_ms;
  step.tokens_drafted = result.timings.drafted_tokens;
  step.tokens_accepted = result.timings.accepted_tokens;
  draft.steps.push_back(std::move(step));
  draft.explain.push_back("the model was asked for it, rather than to fill in the middle");
  return draft;
}

}  // namespace lsp
