// Field names of loopd's own JSON.
#include "lsp/report.h"

#include <cmath>
#include <cstdio>

#include <nlohmann/json.hpp>

namespace lsp {
namespace {

using Json = nlohmann::json;

// Microseconds are as fine as these times are worth.
double rounded(double ms) { return std::round(ms * 1000) / 1000; }

Json steps_json(const std::vector<LoopStep>& steps) {
  Json list = Json::array();
  for (const LoopStep& step : steps) {
    list.push_back({{"step", step.step},
                    {"focus", step.focus},
                    {"kind", std::string(name(step.kind))},
                    {"depth", step.depth},
                    {"tokens_generated", step.tokens_generated},
                    {"tokens_revised", step.tokens_revised},
                    {"tokens_drafted", step.tokens_drafted},
                    {"tokens_accepted", step.tokens_accepted},
                    {"ms", rounded(step.ms)}});
  }
  return list;
}

}  // namespace

Json report(const Completion& completion, context::Language language, const std::string& model, const std::string& device) {
  const CompletionTimings& t = completion.timings;
  return {{"text", completion.text},
          {"language", std::string(context::name(language))},
          {"syntax_class", std::string(context::name(completion.syntax_class))},
          {"loop_depth", completion.depth},
          {"probability", completion.probability},
          {"loop_steps", steps_json(completion.steps)},
          {"finish_reason", completion.finish_reason},
          {"timings_ms",
           {{"parse", rounded(t.parse)},
            {"prompt", rounded(t.prompt)},
            {"prefill", rounded(t.prefill)},
            {"decode", rounded(t.decode)},
            {"check", rounded(t.check)},
            {"total", rounded(t.total)}}},
          {"tokens",
           {{"prompt", t.prompt_tokens},
            {"reused", t.reused_tokens},
            {"computed", t.computed_tokens},
            {"prefetched", t.prefetched_tokens},
            {"generated", t.generated_tokens},
            {"drafted", t.drafted_tokens},
            {"accepted", t.accepted_tokens}}},
          {"model", model},
          {"device", device},
          {"replace_after", completion.replace_after},
          {"explain", completion.explain}};
}

Json report(const inference::GenerateResult& result, int depth, const std::string& model, const std::string& device) {
  const inference::Timings& t = result.timings;
  // Tokens that were guessed and then checked in a batch stand apart from those the model came to one by one.
  std::vector<LoopStep> steps{{1, "text", StepKind::draft, depth, result.tokens.size() - t.accepted_tokens, 0, t.decode_ms - t.verify_ms}};
  if (t.verify_runs > 0) steps.push_back({2, "guesses", StepKind::verify, depth, t.accepted_tokens, 0, t.verify_ms, t.drafted_tokens, t.accepted_tokens});
  return {{"text", result.text},
          {"loop_depth", depth},
          {"loop_steps", steps_json(steps)},
          {"finish_reason", std::string(inference::name(result.finish))},
          {"timings_ms",
           {{"prefill", rounded(t.prefill_ms)},
            {"decode", rounded(t.decode_ms)},
            {"total", rounded(t.prefill_ms + t.decode_ms)}}},
          {"tokens",
           {{"prompt", t.prompt_tokens},
            {"reused", t.reused_tokens},
            {"generated", t.generated_tokens},
            {"drafted", t.drafted_tokens},
            {"accepted", t.accepted_tokens}}},
          {"model", model},
          {"device", device}};
}

std::string describe_steps(const std::vector<LoopStep>& steps) {
  std::string lines;
  for (const LoopStep& step : steps) {
    const std::string kind(name(step.kind));
    const std::string depth = step.depth > 0 ? "depth " + std::to_string(step.depth) : "no model";
    const std::size_t tokens = step.tokens_generated + step.tokens_revised;
    char line[160];
    std::snprintf(line, sizeof line, "  %2d  %-6s  %-14s %-8s %4zu tokens %8.1f ms\n", step.step, kind.c_str(),
                  step.focus.substr(0, 40).c_str(), depth.c_str(), tokens, step.ms);
    lines += line;
    if (step.tokens_drafted == 0) continue;
    lines.pop_back();
    lines += ", " + std::to_string(step.tokens_accepted) + " of " + std::to_string(step.tokens_drafted) + " guesses right\n";
  }
  return lines;
}

}  // namespace lsp
