// One timeline of tokens: keeps what was computed, computes what is new, and generates.
#include <algorithm>
#include <stdexcept>

#include "inference/byte_constraint.h"
#include "inference/engine.h"
#include "inference/lane.h"
#include "inference/model.h"
#include "inference/sampler.h"

namespace inference {
namespace {

using Clock = std::chrono::steady_clock;

double ms_since(Clock::time_point start) { return std::chrono::duration<double, std::milli>(Clock::now() - start).count(); }

}  // namespace

struct Session::State {
  explicit State(std::shared_ptr<const Engine> loaded) : engine(std::move(loaded)), lane(engine->device().open_lane()) {}

  void check(std::span<const TokenId> tokens, int depth) const {
    const ModelConfig& config = engine->model().config;
    if (tokens.empty()) throw std::runtime_error("no tokens: at least one is needed to predict the next");
    if (tokens.size() > static_cast<std::size_t>(config.max_positions)) {
      throw std::runtime_error("prompt of " + std::to_string(tokens.size()) + " tokens exceeds the model's context of " + std::to_string(config.max_positions));
    }
    if (depth < 1 || (depth > 1 && config.family == Family::llama) || depth > 64) {
      throw std::runtime_error("depth " + std::to_string(depth) + " is not available; model_type \"" + config.model_type + "\" has 1.." + std::to_string(config.max_depth));
    }
    for (const TokenId id : tokens) {
      if (id < 0 || id >= config.vocab_size) throw std::runtime_error("token id " + std::to_string(id) + " is outside the vocabulary of " + std::to_string(config.vocab_size));
    }
  }

  std::shared_ptr<const Engine> engine;
  std::unique_ptr<Lane> lane;
};

Session::Session(std::shared_ptr<const Engine> engine) : state_(std::make_unique<State>(std::move(engine))) {}
Session::~Session() = default;
Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;

std::size_t Session::cached_tokens() const { return state_->lane->cached(); }

bool Session::sync(std::span<const TokenId> tokens, int depth, std::stop_token stop) {
  state_->check(tokens, depth);
  state_->lane->replace(tokens);
  return state_->lane->run(depth, tokens.size() - 1, stop);
}

std::vector<float> Session::logits(std::span<const TokenId> tokens, int depth, bool all) {
  state_->check(tokens, depth);
  state_->lane->replace(tokens);
  const std::size_t first = all ? 0 : tokens.size() - 1;
  state_->lane->run(depth, first, {});
  return state_->lane->logits(depth, first, tokens.size() - first);
}

GenerateResult Session::generate(std::span<const TokenId> tokens, const GenerateParams& params, std::stop_token stop) {
  const auto start = Clock::now();
  GenerateResult result;
  state_->check(tokens, params.depth);
  result.timings.prompt_tokens = tokens.size();
  result.timings.reused_tokens = state_->lane->replace(tokens);
  result.timings.computed_tokens = tokens.size() - result.timings.reused_tokens;
  // A prompt that takes longer than the user waits is answered with nothing; the next request goes on from there.
  const bool ready = state_->lane->run(params.depth, tokens.size() - 1, stop, params.deadline);
  result.timings.prefill_ms = ms_since(start);
  if (!ready) {
    result.finish = stop.stop_requested() ? FinishReason::cancelled : FinishReason::deadline;
    return result;
  }

  const Engine& engine = *state_->engine;
  Lane& lane = *state_->lane;
  const std::size_t context = static_cast<std::size_t>(engine.model().config.max_positions);
  ByteConstraint constraint(engine.tokenizer(), params.forced);
  Sampler sampler(params.temperature, params.top_p, params.seed);
  const auto decode_start = Clock::now();
  result.finish = FinishReason::max_tokens;
  while (result.tokens.size() < static_cast<std::size_t>(std::max(0, params.max_tokens))) {
    const auto pick = [&] {
      const std::vector<float> logits = lane.logits(params.depth, lane.tokens().size() - 1, 1);
      std::vector<float> masked = logits;
      constraint.mask(masked);
      // Ids that the tokenizer does not define pad the vocabulary; they stand for no bytes.
      std::fill(masked.begin() + static_cast<std::ptrdiff_t>(std::min(masked.size(), engine.tokenizer().size())), masked.end(), kForbidden);
      if (result.tokens.empty()) {
        for (const TokenId banned : params.banned_first) masked[static_cast<std::size_t>(banned)] = kForbidden;
      }
      return sampler.pick(logits, masked);
    };
    // A device that can pick the likeliest token does; it need not hand over what nothing else looks at.
    std::optional<Sampled> picked;
    const bool unbound = !constraint.active() && (params.banned_first.empty() || !result.tokens.empty());
    if (params.temperature <= 0 && unbound) picked = lane.greedy(params.depth, {engine.tokenizer().size(), {}, {}, 0});
    const Sampled next = picked ? *picked : pick();
    const auto stops = engine.stop_tokens();
    if (std::find(stops.begin(), stops.end(), next.token) != stops.end()) {
      result.finish = FinishReason::end_token;
      break;
    }
    result.tokens.push_back(next.token);
    result.logprobs.push_back(next.logprob);
    result.token_ms.push_back(ms_since(start));
    result.text += constraint.accept(next.token);
    if (!constraint.active() && params.stop_rule && params.stop_rule(result.text)) {
      result.finish = FinishReason::stop_rule;
      break;
    }
    if (params.deadline && Clock::now() >= *params.deadline) {
      result.finish = FinishReason::deadline;
      break;
    }
    if (lane.tokens().size() >= context) {
      result.finish = FinishReason::context_full;
      break;
    }
    lane.append(next.token);
    if (!state_->lane->run(params.depth, lane.tokens().size() - 1, stop)) {
      result.finish = FinishReason::cancelled;
      break;
    }
  }
  result.timings.generated_tokens = result.tokens.size();
  result.timings.decode_ms = ms_since(decode_start);
  return result;
}

}  // namespace inference
