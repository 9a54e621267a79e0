// Picks, checks drafts, searches, and stops.
#include "inference/decoder.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include "inference/model.h"
#include "inference/ops.h"

namespace inference {
namespace {

using Clock = std::chrono::steady_clock;

double ms_since(Clock::time_point start) { return std::chrono::duration<double, std::milli>(Clock::now() - start).count(); }

// How far ahead a guess is followed.
constexpr std::size_t kLookAhead = 24;
// Tokens beside the one that is picked which may begin a likelier answer. A third found two more lines of 1,030.
constexpr std::size_t kRivals = 2;

bool is_whole(FinishReason reason) { return reason == FinishReason::end_token || reason == FinishReason::stop_rule; }

}  // namespace

Decoder::Decoder(const Engine& engine, Lane& lane, const GenerateParams& params, Speculation* speculation, std::vector<float>& logits,
                 Clock::time_point start)
    : engine_(engine),
      lane_(lane),
      params_(params),
      speculation_(speculation),
      start_(start),
      vocabulary_(static_cast<std::size_t>(engine.model().config.vocab_size)),
      constraint_(engine.tokenizer(), params.forced),
      sampler_(params.temperature, params.top_p, params.seed),
      prompt_(lane.tokens().size()),
      settled_(prompt_),
      logits_(logits),
      searches_(params.search_tokens > 0 && params.temperature <= 0 && params.adaptive <= 0),
      best_(-std::numeric_limits<double>::infinity()) {
  logits_.clear();
  if (speculation) text_ = as_read(lane.tokens(), speculation->marks);
}

void Decoder::run(GenerateResult& result, const std::stop_token& stop) {
  result.finish = decode(result, stop);
  if (is_whole(result.finish)) {
    learn_end();
    if (searches_) search(result, stop);
  }
  drop_drafts();
}

FinishReason Decoder::decode(GenerateResult& result, const std::stop_token& stop) {
  if (params_.max_tokens <= 0) return FinishReason::max_tokens;
  while (true) {
    if (const auto end = take(pick(result), result, stop)) return *end;
  }
}

std::optional<FinishReason> Decoder::take(const Sampled& next, GenerateResult& result, const std::stop_token& stop) {
  const auto stops = engine_.stop_tokens();
  const auto most = static_cast<std::size_t>(params_.max_tokens);
  total_ += static_cast<double>(next.logprob);
  if (std::find(stops.begin(), stops.end(), next.token) != stops.end()) return FinishReason::end_token;
  result.tokens.push_back(next.token);
  result.logprobs.push_back(next.logprob);
  result.token_ms.push_back(ms_since(start_));
  result.drafted.push_back(0);
  result.accepted.push_back(0);
  result.text += constraint_.accept(next.token);
  if (!constraint_.active() && params_.stop_rule && params_.stop_rule(result.text)) return FinishReason::stop_rule;
  if (params_.deadline && Clock::now() >= *params_.deadline) return FinishReason::deadline;
  if (settled_ >= static_cast<std::size_t>(engine_.model().config.max_positions)) return FinishReason::context_full;
  if (result.tokens.size() == most) return FinishReason::max_tokens;  // nobody asks what follows
  if (!advance(next.token, most - result.tokens.size(), result, stop)) return FinishReason::cancelled;
  return std::nullopt;
}

void Decoder::search(GenerateResult& best, const std::stop_token& stop) {
  best_ = total_;
  const auto least_likely_first = [](const Rival& a, const Rival& b) { return a.total < b.total; };
  auto left = params_.search_tokens;
  bool moved = false;
  while (left > 0 && !rivals_.empty()) {
    const auto likeliest = std::max_element(rivals_.begin(), rivals_.end(), least_likely_first);
    if (likeliest->total <= best_) break;
    moved = true;
    Rival rival = std::move(*likeliest);
    rivals_.erase(likeliest);
    GenerateResult trial = std::move(rival.before);
    std::swap(trial.timings, best.timings);  // one account of all that was computed
    go_back_to(trial);
    std::optional<FinishReason> end;
    for (Sampled next = rival.token; left > 0 && total_ + static_cast<double>(next.logprob) > best_; next = pick(trial)) {
      end = take(next, trial, stop);
      if (end) break;
      --left;
      ++trial.timings.searched_tokens;
    }
    std::swap(trial.timings, best.timings);
    if (end && is_whole(*end)) {
      learn_end();
      best_ = total_;
      trial.finish = *end;
      trial.timings = best.timings;
      best = std::move(trial);
    } else if (end == FinishReason::cancelled) {
      best.finish = *end;
      break;
    } else if (end == FinishReason::deadline) {
      break;
    }
  }
  if (moved) go_back_to(best);  // the session remembers what was answered, not what was tried
}

void Decoder::note_rivals(const GenerateResult& result, std::span<const float> allowed, const Sampled& picked) {
  std::array<TokenId, kRivals> nearest;
  nearest.fill(-1);
  const auto logit = [&](TokenId id) { return id < 0 ? kForbidden : allowed[static_cast<std::size_t>(id)]; };
  for (TokenId id = 0; id < static_cast<TokenId>(allowed.size()); ++id) {
    if (logit(id) <= logit(nearest.back()) || id == picked.token) continue;
    std::size_t at = kRivals - 1;
    for (; at > 0 && logit(id) > logit(nearest[at - 1]); --at) nearest[at] = nearest[at - 1];
    nearest[at] = id;
  }
  for (const TokenId id : nearest) {
    if (id < 0) continue;
    const Sampled rival{id, picked.logprob + logit(id) - logit(picked.token)};
    const double total = total_ + static_cast<double>(rival.logprob);
    if (total > best_) rivals_.push_back({result, rival, total});
  }
}

void Decoder::go_back_to(const GenerateResult& result) {
  std::vector<TokenId> tokens(lane_.tokens().begin(), lane_.tokens().begin() + static_cast<std::ptrdiff_t>(prompt_));
  tokens.insert(tokens.end(), result.tokens.begin(), result.tokens.end());
  lane_.replace(tokens);
  settled_ = tokens.size();
  logits_.clear();
  constraint_ = ByteConstraint(engine_.tokenizer(), params_.forced);
  for (const TokenId token : result.tokens) constraint_.accept(token);
  total_ = 0;
  for (const float logprob : result.logprobs) total_ += static_cast<double>(logprob);
  guess_ = {};
  guessed_ = 0;
  shallow_ = false;
  if (speculation_) text_ = as_read(tokens, speculation_->marks);
}

Sampled Decoder::pick(const GenerateResult& result) {
  const bool first = result.text.empty();
  const bool unbound = !constraint_.active() && (params_.banned_first.empty() || !first);
  // Ids that the tokenizer does not define pad the vocabulary; they stand for no bytes.
  const std::size_t defined = std::min(vocabulary_, engine_.tokenizer().size());
  if (logits_.empty()) {
    // A device that can pick the likeliest token does; it need not hand over what nothing else looks at.
    if (params_.temperature <= 0 && unbound && !searches_ && lane_.tokens().size() == settled_) {
      if (const auto picked = lane_.greedy(params_.depth, {engine_.tokenizer().size(), {}, {}, 0})) return *picked;
    }
    first_row_ = settled_ - 1;
    lane_.logits(params_.depth, first_row_, lane_.tokens().size() - first_row_, logits_);
  }
  const auto logits = std::span<const float>(logits_).subspan((settled_ - 1 - first_row_) * vocabulary_, vocabulary_);
  const auto picked = [&](std::span<const float> allowed) {
    const Sampled sampled = sampler_.pick(logits, allowed);
    if (searches_) note_rivals(result, allowed, sampled);
    return sampled;
  };
  if (unbound) return picked(logits.first(defined));
  masked_.assign(logits.begin(), logits.begin() + static_cast<std::ptrdiff_t>(defined));
  constraint_.mask(masked_);
  if (first) {
    for (const TokenId banned : params_.banned_first) {
      if (static_cast<std::size_t>(banned) < defined) masked_[static_cast<std::size_t>(banned)] = kForbidden;
    }
  }
  return picked(masked_);
}

bool Decoder::advance(TokenId token, std::size_t tokens_left, GenerateResult& result, const std::stop_token& stop) {
  if (speculation_) {
    learn(token);
    text_.push_back(token);
  }
  if (settled_ < lane_.tokens().size() && lane_.tokens()[settled_] == token) {
    ++settled_;
    ++result.timings.accepted_tokens;
    ++result.accepted[drafter_];
    if (shallow_) speculation_->gate.learn_shallow(true);
    return !stop.stop_requested();
  }
  if (shallow_ && settled_ < lane_.tokens().size()) speculation_->gate.learn_shallow(false);
  drop_drafts();
  lane_.append(token);
  ++settled_;
  logits_.clear();
  if (params_.adaptive > 0) return run_until_sure(result, stop);
  const auto started = Clock::now();
  const bool checked = speculation_ != nullptr && lane_.exact_batches();
  drafter_ = result.tokens.size() - 1;
  if (checked && !draft(tokens_left, stop)) return false;
  const std::size_t rows = lane_.tokens().size() - settled_ + 1;
  result.drafted[drafter_] = static_cast<std::uint8_t>(rows - 1);
  result.timings.drafted_tokens += rows - 1;
  if (rows > 1) ++result.timings.verify_runs;
  if (!lane_.run(params_.depth, settled_ - 1, stop)) return false;
  if (checked) {
    first_row_ = settled_ - 1;
    lane_.logits(params_.depth, first_row_, rows, logits_);
    const double ms = ms_since(started);
    if (rows > 1) result.timings.verify_ms += ms;
    if (!shallow_) speculation_->gate.took(params_.depth, rows, ms);
  }
  return true;
}

// A loop that has not run for some tokens makes up for them when it is needed again, all at once.
bool Decoder::run_until_sure(GenerateResult& result, const std::stop_token& stop) {
  const std::size_t defined = std::min(vocabulary_, engine_.tokenizer().size());
  first_row_ = settled_ - 1;
  for (int r = 1; r <= params_.depth; ++r) {
    // Bytes that are forced may be none of what this loop is sure of.
    if (constraint_.active() && r < params_.depth) continue;
    if (!lane_.run(r, settled_ - 1, stop)) return false;
    lane_.logits(r, settled_ - 1, 1, logits_);
    if (r == params_.depth) break;
    const float best = logits_[static_cast<std::size_t>(largest_index(logits_.data(), defined))];
    if (best - log_sum_exp(logits_.data(), logits_.size()) < std::log(params_.adaptive)) continue;
    ++result.timings.early_tokens;
    break;
  }
  return true;
}

bool Decoder::draft(std::size_t tokens_left, const std::stop_token& stop) {
  shallow_ = false;
  const std::size_t context = static_cast<std::size_t>(engine_.model().config.max_positions);
  // The last token of a result is picked from the logits before it, so one draft less than tokens are left is of use.
  const std::size_t most = std::min(tokens_left - 1, context - lane_.tokens().size());
  DraftGate& gate = speculation_->gate;
  if (guessed_ == guess_.tokens.size()) {
    guess_ = speculation_->drafts.guess(text_, kLookAhead);
    guessed_ = 0;
  }
  const auto line_end = std::find_if(guess_.tokens.begin() + static_cast<std::ptrdiff_t>(guessed_), guess_.tokens.end(), [&](TokenId token) { return breaks_line(token); });
  const std::size_t copied = gate.worth(guess_.matched + guessed_, std::min(most, guess_.tokens.size() - guessed_),
                                        static_cast<std::size_t>(line_end - guess_.tokens.begin()) - guessed_);
  for (std::size_t i = 0; i < copied; ++i) lane_.append(guess_.tokens[guessed_ + i]);
  if (copied > 0) return true;
  const std::size_t own = gate.worth_shallow(params_.depth, most);
  if (own == 0) {
    gate.skipped_shallow();
    return true;
  }
  // Loop 1 alone guesses; its keys, values and states are kept, so the loops above go on from them.
  shallow_ = true;
  for (std::size_t i = 0; i < own; ++i) {
    const std::size_t last = lane_.tokens().size() - 1;
    if (!lane_.run(1, last, stop)) return false;
    lane_.logits(1, last, 1, logits_);
    lane_.append(static_cast<TokenId>(largest_index(logits_.data(), std::min(logits_.size(), engine_.tokenizer().size()))));
  }
  return true;
}

bool Decoder::breaks_line(TokenId token) const {
  return static_cast<std::size_t>(token) < engine_.tokenizer().size() && engine_.tokenizer().bytes(token).find('\n') != std::string_view::npos;
}

void Decoder::learn(TokenId token) {
  if (guessed_ >= guess_.tokens.size()) return;
  const bool right = guess_.tokens[guessed_] == token;
  speculation_->gate.learn(guess_.matched + guessed_, right, breaks_line(guess_.tokens[guessed_]));
  if (right) {
    ++guessed_;
  } else {
    guess_ = {};
    guessed_ = 0;
  }
}

// Whatever was guessed to come behind the end was of no use. Short answers, of which most guesses reach over the end, would
// otherwise look as good as long ones.
void Decoder::learn_end() {
  if (!speculation_) return;
  if (guessed_ < guess_.tokens.size()) speculation_->gate.learn(guess_.matched + guessed_, false, breaks_line(guess_.tokens[guessed_]));
  if (shallow_ && settled_ < lane_.tokens().size()) speculation_->gate.learn_shallow(false);
}

void Decoder::drop_drafts() {
  if (lane_.tokens().size() == settled_) return;
  const std::vector<TokenId> kept(lane_.tokens().begin(), lane_.tokens().begin() + static_cast<std::ptrdiff_t>(settled_));
  lane_.replace(kept);
}

}  // namespace inference
