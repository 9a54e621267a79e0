// One timeline of tokens: keeps what was computed, computes what is new, and generates.
#include <algorithm>
#include <stdexcept>

#include "inference/decoder.h"
#include "inference/engine.h"
#include "inference/lane.h"
#include "inference/model.h"

namespace inference {
namespace {

using Clock = std::chrono::steady_clock;

// Tokens of a replaced text that are kept for drafts; more is another document's.
constexpr std::size_t kRemembered = 1024;

double ms_since(Clock::time_point start) { return std::chrono::duration<double, std::milli>(Clock::now() - start).count(); }

}  // namespace

struct Session::State {
  explicit State(std::shared_ptr<const Engine> loaded) : engine(std::move(loaded)), lane(engine->device().open_lane()) {
    if (!engine->model().tokenizer) return;
    const auto id = [&](std::string_view mark) { return engine->tokenizer().find_special(mark).value_or(-1); };
    speculation.marks = {id("<|fim_prefix|>"), id("<|fim_suffix|>"), id("<|fim_middle|>")};
  }

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

  // Keeps for drafts what `tokens` are about to replace: past answers, edited text.
  void remember(std::span<const TokenId> tokens) {
    const std::span<const TokenId> old = lane->tokens();
    const auto common = static_cast<std::size_t>(std::mismatch(old.begin(), old.end(), tokens.begin(), tokens.end()).first - old.begin());
    speculation.drafts.add(as_read(old.subspan(common, std::min(old.size() - common, kRemembered)), speculation.marks));
  }

  std::shared_ptr<const Engine> engine;
  std::unique_ptr<Lane> lane;
  Speculation speculation;
  std::vector<float> logits;  // the decoder's, kept from one generation to the next
};

Session::Session(std::shared_ptr<const Engine> engine) : state_(std::make_unique<State>(std::move(engine))) {}
Session::~Session() = default;
Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;

std::size_t Session::cached_tokens() const { return state_->lane->cached(); }

std::size_t Session::adopt(std::span<const TokenId> tokens) {
  state_->check(tokens, 1);
  state_->remember(tokens);
  return state_->lane->replace(tokens);
}

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
  if (params.speculate) state_->remember(tokens);
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

  const auto decode_start = Clock::now();
  const bool guesses = params.speculate && params.adaptive <= 0;
  Decoder decoder(*state_->engine, *state_->lane, params, guesses ? &state_->speculation : nullptr, state_->logits, start);
  decoder.run(result, stop);
  result.timings.generated_tokens = result.tokens.size();
  result.timings.decode_ms = ms_since(decode_start);
  return result;
}

}  // namespace inference
