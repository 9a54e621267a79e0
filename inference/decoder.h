// Generates token after token from a lane that holds the prompt; drafts are checked several at a time where that pays.
#pragma once

#include <chrono>
#include <optional>
#include <span>
#include <stop_token>
#include <vector>

#include "inference/byte_constraint.h"
#include "inference/drafts.h"
#include "inference/engine.h"
#include "inference/lane.h"
#include "inference/sampler.h"

namespace inference {

// What a session knows about drafting, from one generation to the next.
struct Speculation {
  Drafts drafts;
  DraftGate gate;
  FimMarks marks;
};

// One generation. A draft is a guess at the next tokens that runs through the model in one batch with the last token; each
// guess that is what the model picks anyway has saved a run. Every token is picked from the same logits, with the same
// mask and the same random numbers as without drafts, so the result is the same whatever is guessed.
class Decoder {
 public:
  // `speculation` null: no drafts. The lane must have run for all its tokens at params.depth. `logits` is memory to use.
  Decoder(const Engine& engine, Lane& lane, const GenerateParams& params, Speculation* speculation, std::vector<float>& logits,
          std::chrono::steady_clock::time_point start);

  // Appends to `result` until something ends it. The lane then holds the prompt and what was generated but the last token.
  void run(GenerateResult& result, const std::stop_token& stop);

 private:
  FinishReason decode(GenerateResult& result, const std::stop_token& stop);
  Sampled pick(bool first);
  // Takes `token` as settled and makes the logits after it available. False where `stop` was requested.
  bool advance(TokenId token, std::size_t tokens_left, GenerateResult& result, const std::stop_token& stop);
  // Makes logits available after the lane's last token, of the first loop that is sure enough. False where `stop` was requested.
  bool run_until_sure(GenerateResult& result, const std::stop_token& stop);
  // Appends drafts to the lane; false where `stop` was requested.
  bool draft(std::size_t most, const std::stop_token& stop);
  bool breaks_line(TokenId token) const;
  void learn(TokenId token);
  void learn_end();
  void drop_drafts();

  const Engine& engine_;
  Lane& lane_;
  const GenerateParams& params_;
  Speculation* const speculation_;
  const std::chrono::steady_clock::time_point start_;
  const std::size_t vocabulary_;
  ByteConstraint constraint_;
  Sampler sampler_;

  std::size_t settled_;             // tokens of the lane that are prompt or result; those behind them are drafts
  std::vector<float>& logits_;      // [rows][vocab] after position first_row_ and those behind it; empty: not asked for yet
  std::size_t first_row_ = 0;
  std::vector<float> masked_;
  std::vector<TokenId> text_;       // the settled tokens as read, for guessing
  Drafts::Guess guess_;             // what the text says comes next, for learning whether it does
  std::size_t guessed_ = 0;         // tokens of it that came true
  bool shallow_ = false;            // the drafts in the lane are loop 1's
  std::size_t drafter_ = 0;         // the token of the result beside which the drafts ran
};

}  // namespace inference
