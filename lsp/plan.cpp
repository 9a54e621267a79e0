// Plans a completion, and makes the prompts of probable ones ready in the model's cache.
#include "lsp/plan.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <utility>

namespace lsp {
namespace {

// The tracker follows the newest text. Where the client has typed on since this request, its own text is parsed.
std::shared_ptr<const context::SyntaxTree> tree_of(const CompletionInput& input) {
  if (input.syntax) {
    const auto parsed = input.syntax->parsed();
    if (parsed.document == input.document) return parsed.tree;
  }
  return context::parse(input.language, input.document->text());
}

// Where to make the prompt: anew, or with a beginning that serves already, should there be one.
enum class Beginning { kept, renewed };

context::Anchored::Choice fill_prompt(const ModelPort& model, const CompletionInput& input, context::Anchors& anchors,
                                      Beginning beginning, Plan& plan) {
  const auto& options = input.options;
  const std::function<std::vector<context::Snippet>()> snippets = [&] {
    return context::similar_snippets(*input.document, input.offset, input.others, options.snippet_count);
  };
  context::PromptBudget budget = options.budget;
  // Special tokens and paths are not counted by the budget; 16 tokens for each file leave room for them.
  const std::size_t reserved = static_cast<std::size_t>(options.max_tokens) + 16 * (options.snippet_count + 1);
  budget.total = std::min(budget.total, model.context > reserved + 64 ? model.context - reserved : 64);
  budget.suffix = std::min(budget.suffix, budget.total / 3);
  budget.snippets = std::min(budget.snippets, budget.total / 3);
  const context::PromptRequest request{*input.document, input.offset, input.path, snippets, budget, model.count};
  auto anchored = beginning == Beginning::kept ? context::anchored_prompt(anchors, request) : context::renewed_prompt(anchors, request);
  plan.prompt = std::move(anchored.prompt);
  plan.aged = anchored.aged;
  plan.timeline = anchored.place == 0 ? input.session : input.session + "#" + std::to_string(anchored.place + 1);
  return anchored.choice;
}

}  // namespace

void find_place(const CompletionInput& input, Plan& plan) {
  plan.tree = tree_of(input);
  plan.cursor = context::classify(*input.document, plan.tree.get(), input.offset);
  if (input.options.single_line) plan.cursor.single_line = true;
  const std::size_t line_start = input.document->line_start(input.document->line_of(input.offset));
  plan.line_prefix = input.document->text().substr(line_start, input.offset - line_start);
}

void choose_depth(const ModelPort& model, const CompletionInput& input, Plan& plan) {
  const auto& options = input.options;
  if (!options.depth) {
    plan.depth = context::choose_depth(options.policy, plan.cursor, input.explicit_request, model.max_depth);
    return;
  }
  plan.depth.wanted = std::max(1, *options.depth);
  plan.depth.loops = std::min(plan.depth.wanted, model.max_depth);
  plan.depth.revise = plan.depth.wanted - plan.depth.loops;
}

context::Anchored::Choice fill_prompt(const ModelPort& model, const CompletionInput& input, Plan& plan) {
  if (input.anchors && !input.ahead) return fill_prompt(model, input, *input.anchors, Beginning::kept, plan);
  context::Anchors passing;
  if (input.anchors) passing = *input.anchors;
  return fill_prompt(model, input, passing, Beginning::kept, plan);
}

inference::FimPrompt fim(const context::Prompt& prompt, std::vector<inference::FimSegment>& segments, std::string_view prefix) {
  segments.clear();
  for (const auto& snippet : prompt.snippets) segments.push_back({snippet.path, snippet.text});
  return {prompt.path, segments, prefix, prompt.suffix};
}

namespace {

// What prepare() and renew() ask for: the place, whether there is anything to compute for it, and its depth.
std::optional<Plan> place_of(const ModelPort& model, const CompletionInput& input, const std::stop_token& stop) {
  Plan plan;
  find_place(input, plan);
  if (stop.stop_requested() || (plan.cursor.syntax_class == context::SyntaxClass::none && !input.options.comments)) return std::nullopt;
  choose_depth(model, input, plan);
  return plan;
}

void prefill(const ModelPort& model, const Plan& plan, std::stop_token stop) {
  std::vector<inference::FimSegment> segments;
  model.prefill(plan.timeline, fim(plan.prompt, segments, plan.prompt.prefix), plan.depth.loops, std::move(stop));
}

}  // namespace

void prepare(const ModelPort& model, const CompletionInput& given, std::stop_token stop) {
  CompletionInput input = given;
  input.offset = std::min(input.offset, input.document->text().size());
  auto plan = place_of(model, input, stop);
  if (!plan) return;
  fill_prompt(model, input, *plan);
  prefill(model, *plan, std::move(stop));
}

void renew(const ModelPort& model, const CompletionInput& given, std::stop_token stop) {
  CompletionInput input = given;
  input.offset = std::min(input.offset, input.document->text().size());
  if (!input.anchors) return;
  auto plan = place_of(model, input, stop);
  if (!plan) return;
  context::Anchors next = *input.anchors;
  fill_prompt(model, input, next, Beginning::kept, *plan);
  if (!plan->aged) return;
  fill_prompt(model, input, next, Beginning::renewed, *plan);
  // The place's cache is overwritten from here on, so that its beginning is forgotten even if this does not get through.
  input.anchors->places[next.latest] = {};
  prefill(model, *plan, stop);
  if (!stop.stop_requested()) *input.anchors = next;
}

}  // namespace lsp
