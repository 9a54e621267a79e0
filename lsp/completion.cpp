// The life of a completion, top to bottom: plan what to ask, draft it, trim it, verify it with the parser, revise or cut.
#include "lsp/completion.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "context/check.h"
#include "context/trim.h"
#include "lsp/plan.h"

namespace lsp {
namespace {

using Clock = std::chrono::steady_clock;

double ms_since(Clock::time_point start) { return std::chrono::duration<double, std::milli>(Clock::now() - start).count(); }

// Text as the model wrote it, with the token that ends at each place.
struct Draft {
  std::string text;
  std::vector<inference::TokenId> tokens;
  std::vector<std::size_t> ends;  // offset in `text` just behind each token
  std::vector<double> ms;         // what each token took
  std::vector<float> logprobs;    // one a token; may be empty
  std::vector<std::uint8_t> drafted, accepted;  // guesses beside each token, and those that were right; may be empty
  inference::FinishReason finish = inference::FinishReason::end_token;
};

std::string describe(context::Anchored::Choice choice) {
  switch (choice) {
    case context::Anchored::Choice::elsewhere: return "the prompt began anew: what stands behind the cursor is not what stood there before";
    case context::Anchored::Choice::full: return "the prompt began anew: the window slid on";
    case context::Anchored::Choice::kept:
    case context::Anchored::Choice::first: break;
  }
  return "";
}

// One completion on its way; its functions are the stations that complete() calls in order.
struct Run {
  const ModelPort& model;
  const CompletionInput& input;
  std::stop_token stop;
  Clock::time_point start = Clock::now();
  Plan plan{};
  Completion out{};

  std::optional<Clock::time_point> deadline() const {
    if (input.options.deadline.count() == 0) return std::nullopt;
    return start + input.options.deadline;
  }

  bool out_of_time() const { return stop.stop_requested() || (deadline() && Clock::now() >= *deadline()); }

  void explain(std::string sentence) {
    if (!sentence.empty()) out.explain.push_back(std::move(sentence));
  }

  // Continues the prompt behind `kept`, text of an earlier pass that stays.
  Draft generate(const std::string& kept, std::vector<inference::TokenId> banned_first) {
    inference::GenerateParams params;
    params.depth = plan.depth.loops;
    params.max_tokens = input.options.max_tokens;
    params.banned_first = std::move(banned_first);
    params.temperature = input.options.temperature;
    params.seed = input.options.seed;
    params.speculate = input.options.speculate;
    params.search_tokens = plan.cursor.single_line ? input.options.search_tokens : 0;
    params.deadline = deadline();
    params.stop_rule = StopRule{plan.cursor, plan.line_prefix, kept};
    params.background = input.ahead;
    std::vector<inference::FimSegment> segments;
    const std::string prefix = plan.prompt.prefix + kept;
    inference::GenerateResult result = model.generate(plan.timeline, fim(plan.prompt, segments, prefix), params, stop);
    count(result.timings);

    Draft draft;
    draft.text = std::move(result.text);
    draft.finish = result.finish;
    // The first tokens may spell bytes that stood in the prompt already: those are not part of the text.
    std::size_t all = 0;
    for (const auto token : result.tokens) all += model.token_bytes(token);
    const std::size_t spelled = all > draft.text.size() ? all - draft.text.size() : 0;
    std::size_t end = 0;
    double before = 0;
    for (std::size_t i = 0; i < result.tokens.size(); ++i) {
      end += model.token_bytes(result.tokens[i]);
      draft.ends.push_back(end > spelled ? end - spelled : 0);
      const double until = i < result.token_ms.size() ? result.token_ms[i] : before;
      draft.ms.push_back(until - before);
      before = until;
    }
    draft.tokens = std::move(result.tokens);
    draft.logprobs = std::move(result.logprobs);
    draft.drafted = std::move(result.drafted);
    draft.accepted = std::move(result.accepted);
    return draft;
  }

  void count(const inference::Timings& timings) {
    out.timings.prefill += timings.prefill_ms;
    out.timings.decode += timings.decode_ms;
    out.timings.computed_tokens += timings.computed_tokens;
    out.timings.prefetched_tokens += timings.prefetched_tokens;
    if (out.timings.prompt_tokens == 0) {
      out.timings.prompt_tokens = timings.prompt_tokens;
      out.timings.reused_tokens = timings.reused_tokens;
    }
    out.timings.generated_tokens += timings.generated_tokens;
    out.timings.drafted_tokens += timings.drafted_tokens;
    out.timings.accepted_tokens += timings.accepted_tokens;
  }

  // What of the generated text may be shown.
  context::Trimmed trim(const std::string& generated, inference::FinishReason finish) {
    const auto started = Clock::now();
    context::Trimmed trimmed = context::trim(*input.document, input.offset, plan.cursor, generated);
    const bool cut_short = finish == inference::FinishReason::max_tokens ||
                           finish == inference::FinishReason::deadline ||
                           finish == inference::FinishReason::context_full;
    // Generation ended in the middle of a line, so that line is left out, unless it is the only one.
    const std::size_t newline = trimmed.text.rfind('\n');
    if (cut_short && trimmed.dropped.empty() && newline != std::string::npos && newline > 0) {
      trimmed.text.resize(newline);
      if (trimmed.text.back() == '\r') trimmed.text.pop_back();
      trimmed.replace_after = 0;
      trimmed.dropped = "the last line was unfinished (" + std::string(inference::name(finish)) + ")";
    }
    out.timings.check += ms_since(started);
    return trimmed;
  }

  context::Verdict verify(const context::Trimmed& shown) {
    const auto started = Clock::now();
    const auto verdict =
        context::check_insertion(*input.document, plan.tree.get(), input.offset, shown.replace_after, shown.text);
    const double ms = ms_since(started);
    out.timings.check += ms;
    const int step = out.steps.empty() ? 1 : out.steps.back().step;
    out.steps.push_back({step, "parse", StepKind::verify, 0, 0, 0, ms});
    return verdict;
  }

  std::vector<context::Step> split(const context::Trimmed& shown) {
    return context::split_steps(*input.document, plan.tree.get(), input.offset, shown.replace_after, shown.text);
  }

  // Writes a trace entry for each step of `shown` from number `first` on, whose text starts `skipped` bytes in front of
  // the draft's.
  void trace(const Draft& draft, const std::vector<context::Step>& steps, std::size_t first, std::size_t skipped, StepKind kind) {
    std::size_t token = 0;
    for (std::size_t i = first; i < steps.size(); ++i) {
      LoopStep entry;
      entry.step = static_cast<int>(i) + 1;
      entry.focus = steps[i].focus;
      entry.kind = kind;
      entry.depth = plan.depth.loops;
      std::size_t& tokens = kind == StepKind::revise ? entry.tokens_revised : entry.tokens_generated;
      // A token that reaches over the last step's end was cut, but had to be generated to be cut.
      const auto belongs = [&] {
        return draft.ends[token] + skipped <= steps[i].end || (i + 1 == steps.size() && tokens == 0);
      };
      for (; token < draft.ends.size() && belongs(); ++token) {
        ++tokens;
        entry.ms += draft.ms[token];
        if (token >= draft.drafted.size()) continue;
        entry.tokens_drafted += draft.drafted[token];
        entry.tokens_accepted += draft.accepted[token];
      }
      out.steps.push_back(std::move(entry));
    }
  }
};

// What the model gives to the first `length` bytes of its draft, a token that reaches over them included.
double probability_of(const Draft& draft, std::size_t length) {
  double sum = 0;
  for (std::size_t i = 0; i < draft.logprobs.size() && (i == 0 || draft.ends[i - 1] < length); ++i) sum += static_cast<double>(draft.logprobs[i]);
  return std::exp(sum);
}

// The token that reaches beyond byte `from` of the draft's text.
std::optional<inference::TokenId> first_token(const Draft& draft, std::size_t from) {
  for (std::size_t i = 0; i < draft.tokens.size(); ++i) {
    if (draft.ends[i] > from) return draft.tokens[i];
  }
  return std::nullopt;
}

std::size_t step_of(const std::vector<context::Step>& steps, std::size_t offset) {
  std::size_t at = 0;
  while (at + 1 < steps.size() && steps[at].end <= offset) ++at;
  return at;
}

// Regenerates faulty steps while passes are left and something is found. The first token of what failed is banned, so
// that the model has to take another way.
void revise(Run& run, int passes, const Draft& first, context::Trimmed& shown, context::Verdict& verdict) {
  Draft draft = first;
  std::size_t skipped = 0;  // bytes of `shown` in front of the draft
  std::size_t banned_at = std::string::npos;
  std::vector<inference::TokenId> banned;
  for (; passes > 0 && !verdict.ok && !run.out_of_time(); --passes) {
    const auto steps = run.split(shown);
    if (steps.empty()) return;
    std::size_t at = step_of(steps, verdict.fault);
    // A fault in what an earlier pass kept: there is no token to ban in this draft, so that its own start is revised.
    while (at + 1 < steps.size() && steps[at].end <= skipped) ++at;
    // Line break and indentation stay: they are right more often than what follows them.
    const std::size_t code = std::min(shown.text.find_first_not_of(" \t\r\n", steps[at].start), steps[at].end);
    const std::size_t from = std::max(code, skipped);
    if (from != banned_at) banned.clear();
    banned_at = from;
    if (const auto token = first_token(draft, from - skipped)) banned.push_back(*token);
    const std::string kept = shown.text.substr(0, from);
    Draft again = run.generate(kept, banned);
    context::Trimmed candidate = run.trim(kept + again.text, again.finish);
    if (candidate.text == shown.text) {
      run.explain("a revise pass found nothing better");
      return;
    }
    run.trace(again, run.split(candidate), at, kept.size(), StepKind::revise);
    const context::Verdict found = run.verify(candidate);
    const bool better = found.ok || found.errors_after < verdict.errors_after;
    run.explain("step " + std::to_string(at + 1) + " was revised because the parser found a fault in it; " +
                (found.ok ? "now there is none" : better ? "fewer are left" : "the other way is no better"));
    if (!better) continue;
    shown = std::move(candidate);
    verdict = found;
    draft = std::move(again);
    skipped = kept.size();
  }
}

// Leaves out faulty steps from the end until what remains parses; nothing where no step is good.
void cut_back(Run& run, context::Trimmed& shown, const context::Verdict& verdict) {
  const auto steps = run.split(shown);
  for (std::size_t at = steps.empty() ? 0 : step_of(steps, verdict.fault); at > 0; --at) {
    context::Trimmed shorter{shown.text.substr(0, steps[at].start), 0, ""};
    while (!shorter.text.empty() && std::string_view(" \t\r\n").find(shorter.text.back()) != std::string_view::npos) {
      shorter.text.pop_back();
    }
    if (shorter.text.empty()) break;
    if (!run.verify(shorter).ok) continue;
    run.explain("cut after step " + std::to_string(at) + ", because what followed would have broken the parse");
    shown = std::move(shorter);
    return;
  }
  run.explain("nothing is shown, because it would have broken the parse");
  shown = {};
}

std::string describe(const Plan& plan, int max_depth) {
  std::string text = "depth " + std::to_string(plan.depth.loops) + " of " + std::to_string(max_depth);
  if (plan.depth.wanted != plan.depth.loops) {
    text += ", where " + std::to_string(plan.depth.wanted) + " was wanted: " + std::to_string(plan.depth.revise) +
            " revise passes allowed";
  }
  return text;
}

}  // namespace

std::string_view name(StepKind kind) {
  switch (kind) {
    case StepKind::draft: return "draft";
    case StepKind::verify: return "verify";
    case StepKind::revise: break;
  }
  return "revise";
}

bool StopRule::operator()(std::string_view generated) const {
  return kept.empty() ? context::is_complete(cursor, line_prefix, generated)
                      : context::is_complete(cursor, line_prefix, kept + std::string(generated));
}

Completion complete(const ModelPort& model, const CompletionInput& given, std::stop_token stop) {
  CompletionInput input = given;
  input.offset = std::min(input.offset, input.document->text().size());
  Run run{model, input, std::move(stop)};
  Plan& plan = run.plan;
  Completion& out = run.out;

  // Where the cursor is, says the tree.
  find_place(input, plan);
  out.syntax_class = plan.cursor.syntax_class;
  out.timings.parse = ms_since(run.start);
  out.finish_reason = "off";
  run.explain(std::string(context::name(plan.cursor.syntax_class)) + ": " + plan.cursor.why);
  if (plan.cursor.syntax_class == context::SyntaxClass::none && !input.options.comments) {
    run.explain("completion in comments and strings is off (loopd.comments)");
    out.timings.total = ms_since(run.start);
    return std::move(out);
  }

  // How much compute it is worth, says its class.
  choose_depth(model, input, plan);
  out.depth = plan.depth.loops;
  run.explain(describe(plan, model.max_depth));

  // What the model sees: the text around the cursor and passages of other open files that resemble it.
  const auto prompting = Clock::now();
  const auto choice = fill_prompt(model, input, plan);
  out.timings.prompt = ms_since(prompting);
  if (input.ahead && choice != context::Anchored::Choice::kept) return std::move(out);
  if (input.anchors) run.explain(describe(choice));
  if (!plan.prompt.snippets.empty()) {
    run.explain(std::to_string(plan.prompt.snippets.size()) + " passages of other open files were shown to the model");
  }

  // The model drafts until its own end, the end of the line or block, the deadline, or the next request.
  const Draft draft = run.generate("", input.options.banned_first);
  out.finish_reason = inference::name(draft.finish);
  out.first_token = first_token(draft, 0);
  if (draft.finish == inference::FinishReason::cancelled) {
    out.timings.total = ms_since(run.start);
    return std::move(out);
  }

  // Beyond this point there is text; the rest decides how much of it deserves to be shown.
  context::Trimmed shown = run.trim(draft.text, draft.finish);
  run.explain(shown.dropped);
  const auto steps = shown.text.empty() ? std::vector<context::Step>{} : run.split(shown);
  run.trace(draft, steps, 0, 0, StepKind::draft);

  // No edit is shown that breaks what parsed before.
  if (!shown.text.empty()) {
    context::Verdict verdict = run.verify(shown);
    // Depth that the model lacks is spent here, and one pass more where the user asked and waits.
    const int passes = input.options.passes.value_or(plan.depth.revise + (input.explicit_request ? 1 : 0));
    if (!verdict.ok) revise(run, passes, draft, shown, verdict);
    if (!verdict.ok) cut_back(run, shown, verdict);
  }
  if (shown.text.empty() && shown.dropped.empty() && draft.text.empty()) run.explain("the model ended at once");

  const bool as_drafted = !shown.text.empty() && draft.text.starts_with(shown.text);
  out.probability = as_drafted ? probability_of(draft, shown.text.size()) : 0;
  out.text = std::move(shown.text);
  out.replace_after = shown.replace_after;
  out.timings.total = ms_since(run.start);
  return std::move(out);
}

}  // namespace lsp
