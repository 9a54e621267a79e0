// Guesses the next tokens by copying what followed the last ones elsewhere, and decides how many are worth checking.
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <vector>

#include "inference/tokenizer.h"

namespace inference {

// Text to copy from, beside the timeline itself: past answers, text that was edited away.
class Drafts {
 public:
  // The newest counts most where several places match equally; the oldest is forgotten beyond 8,192 tokens.
  void add(std::span<const TokenId> text);

  struct Guess {
    std::vector<TokenId> tokens;
    std::size_t matched = 0;  // tokens before it that agree with the end of the timeline
  };
  // What followed the longest run that `tokens` also ends in, in the timeline itself or in what was added; at most `most`
  // tokens, none where not even the last token has stood anywhere before.
  Guess guess(std::span<const TokenId> tokens, std::size_t most) const;

 private:
  std::vector<TokenId> text_;
};

// Whether a draft pays: what it costs is measured, and how often guesses are right is learned from every token generated,
// drafted or not, so the gate opens again by itself. It decides about time only; no result depends on it.
class DraftGate {
 public:
  static constexpr std::size_t kMost = 7;  // drafts checked at once; with the token before them eight rows

  // `guess` tokens that `matched` tokens speak for: how many of the first `most` to check in one batch.
  std::size_t worth(std::size_t matched, std::size_t most) const;
  // Loop 1's own guesses at depth `depth`, how many to make before the other loops check them.
  std::size_t worth_shallow(int depth, std::size_t most) const;

  void learn(std::size_t matched, bool right);
  void learn_shallow(bool right);
  // A token was generated without loop 1 guessing at it: what was learned about it fades, until it is tried again.
  void skipped_shallow();
  // A run of all loops over `rows` positions with their logits took `ms`.
  void took(std::size_t rows, double ms);
  // For tests: what the gate believes a run of `rows` costs, in runs of one row.
  double relative_cost(std::size_t rows) const;

 private:
  struct Chance {
    double right, tried;
  };
  static std::size_t bucket(std::size_t matched);
  double chance(std::size_t matched) const;
  static void learn(Chance& chance, bool right);

  static constexpr double kShallowChance = 0.85;
  // Counts that fade, so that a file that repeats itself and one that does not are told apart within some dozen tokens.
  // They start with a guess at both.
  std::array<Chance, 5> chances_{{{0.2, 4}, {0.8, 4}, {2.2, 4}, {3.2, 4}, {3.6, 4}}};
  Chance shallow_{kShallowChance * 8, 8};
  std::array<double, kMost + 2> ms_{};  // by rows; 0: not measured yet
};

}  // namespace inference
