// Generates token after token from a lane that holds the prompt: drafts are checked several at a time where that pays, and
// after a greedy answer a likelier one is looked for.
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
//
// Taking the likeliest token every time does not find the likeliest answer. The search for it (GenerateParams::search_tokens)
// begins again at the rival, a token that was nearly taken, whose probability with all before it is the highest. An answer
// only loses probability as it grows, so whatever has fallen behind the best whole answer is given up, and nothing is
// looked for where that has half of the probability. (Stahlberg and Byrne, "On NMT Search Errors and Model Errors: Cat Got
// Your Tongue?", EMNLP 2019, section 3, with the likeliest rival first.)
class Decoder {
 public:
  // `speculation` null: no drafts. The lane must have run for all its tokens at params.depth. `logits` is memory to use.
  Decoder(const Engine& engine, Lane& lane, const GenerateParams& params, Speculation* speculation, std::vector<float>& logits,
          std::chrono::steady_clock::time_point start);

  // Appends to `result` until something ends it. The lane then holds the prompt and what was generated but a last token that
  // nothing follows.
  void run(GenerateResult& result, const std::stop_token& stop);

 private:
  struct Rival {
    GenerateResult before;  // the answer up to it
    Sampled token;
    double total;           // log-probability of both
  };

  FinishReason decode(GenerateResult& result, const std::stop_token& stop);
  // Takes `next` into the result; says what ends it, or makes the logits after it available.
  std::optional<FinishReason> take(const Sampled& next, GenerateResult& result, const std::stop_token& stop);
  Sampled pick(const GenerateResult& result);
  // Puts the likeliest whole answer that is found in the place of `best`.
  void search(GenerateResult& best, const std::stop_token& stop);
  // The tokens that were nearly picked in the place of `picked`; `allowed` are the logits it was picked from.
  void note_rivals(const GenerateResult& result, std::span<const float> allowed, const Sampled& picked);
  // Makes the lane and the decoder hold the prompt and `result`, to go on from there.
  void go_back_to(const GenerateResult& result);
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

  const std::size_t prompt_;        // tokens of the prompt
  std::size_t settled_;             // tokens of the lane that are prompt or result; those behind them are drafts
  std::vector<float>& logits_;      // [rows][vocab] after position first_row_ and those behind it; empty: not asked for yet
  std::size_t first_row_ = 0;
  std::vector<float> masked_;
  std::vector<TokenId> text_;       // the settled tokens as read, for guessing
  Drafts::Guess guess_;             // what the text says comes next, for learning whether it does
  std::size_t guessed_ = 0;         // tokens of it that came true
  bool shallow_ = false;            // the drafts in the lane are loop 1's
  std::size_t drafter_ = 0;         // the token of the result beside which the drafts ran

  const bool searches_;
  double total_ = 0;                // log-probability of the result so far
  double best_;                     // and of the best whole answer
  std::vector<Rival> rivals_;
};

}  // namespace inference
