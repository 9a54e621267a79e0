// Guesses the next tokens by copying what followed the last ones elsewhere, and decides how many are worth checking.
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <vector>

#include "inference/tokenizer.h"

namespace inference {

// What frames a fill-in-the-middle prompt; -1: the tokenizer has no such token.
struct FimMarks {
  TokenId prefix = -1, suffix = -1, middle = -1;
};

// A timeline in the order in which its text is read: what is filled in right behind the text that it continues. With a
// mark between them, a suggestion's first tokens would never match more than themselves.
std::vector<TokenId> as_read(std::span<const TokenId> tokens, const FimMarks& marks);

// Text to copy from, beside the timeline itself: past answers, text that was edited away.
class Drafts {
 public:
  // The newest counts most where several places match equally; the oldest is forgotten beyond 8,192 tokens.
  void add(std::span<const TokenId> text);

  struct Guess {
    std::vector<TokenId> tokens;
    std::size_t matched = 0;  // tokens before it that agree with the end of the timeline
  };
  // What followed the longest run that `tokens` also ends in, in them or in what was added; at most `most` tokens, none
  // where not even the last token has stood anywhere before.
  Guess guess(std::span<const TokenId> tokens, std::size_t most) const;

 private:
  std::vector<TokenId> text_;
};

// Whether a draft pays. Checking k guesses costs a run of k + 1 rows, C(k + 1) runs of one row; it brings as many tokens as
// guesses in a row are right, and one more: 1 + p1 + p1 p2 + ... The k with the highest quotient is taken, and none where
// that quotient does not reach 1.1. C is measured as it goes, from what 2 cores were seen to take. The p are learned from
// every token generated, drafted or not, so the gate opens again by itself, and kept from answer to answer, because few
// are long enough to learn in. It decides about time only; no result depends on it.
class DraftGate {
 public:
  static constexpr std::size_t kMost = 7;  // drafts checked at once; with the token before them eight rows

  static constexpr std::size_t kNowhere = static_cast<std::size_t>(-1);

  // A guess that `matched` tokens speak for: how many of its first `most` tokens to check in one batch. `line_end` is the
  // first of them that holds a line break: answers end there more often than the texts that they are guessed from.
  std::size_t worth(std::size_t matched, std::size_t most, std::size_t line_end = kNowhere) const;
  // Loop 1's own guesses at depth `depth`, how many to make before the other loops check them.
  std::size_t worth_shallow(int depth, std::size_t most) const;

  void learn(std::size_t matched, bool right, bool line_end = false);
  void learn_shallow(bool right);
  // A token was generated without loop 1 guessing at it: what was learned about it fades, until it is tried again.
  void skipped_shallow();
  // A run of loops 1..depth over `rows` positions with their logits took `ms`.
  void took(int depth, std::size_t rows, double ms);
  // For tests: what the gate believes a run of `rows` costs, in runs of one row.
  double relative_cost(std::size_t rows) const;

 private:
  struct Chance {
    double right, tried;
  };
  static constexpr std::size_t kDepths = 8;
  static std::size_t bucket(std::size_t matched);
  double chance(std::size_t matched) const;
  static void learn(Chance& chance, bool right);

  static constexpr double kShallowChance = 0.85;
  // Counts that fade, so that a file that repeats itself and one that does not are told apart within some dozen tokens.
  // They start with a guess at both.
  std::array<Chance, 5> chances_{{{0.2, 4}, {0.8, 4}, {2.2, 4}, {3.2, 4}, {3.6, 4}}};
  Chance line_end_{2, 4};
  Chance shallow_{kShallowChance * 8, 8};
  // By rows, in runs of one row. Default model, AVX-512 VNNI, 1,100 tokens of context, 1 or 2 threads: up to 4 rows share
  // the time that reading the weights takes, more wait for their products.
  std::array<double, kMost + 2> cost_{0, 1, 1.25, 1.45, 1.7, 2.3, 2.35, 2.8, 3.1};
  std::array<double, kDepths + 1> one_row_ms_{};  // by depth; 0: not measured yet
};

}  // namespace inference
