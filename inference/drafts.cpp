// Longest match by plain search, and a running estimate of chances and costs.
#include "inference/drafts.h"

#include <algorithm>

namespace inference {
namespace {

constexpr std::size_t kKept = 8192;
// Stands between texts; no token is this.
constexpr TokenId kBoundary = -1;
// Matches beyond this are as good as this.
constexpr std::size_t kLongestMatch = 32;

// How much of the past counts: an estimate follows the last 1 / kFade guesses.
constexpr double kFade = 1.0 / 24;
// A run's time is noisy: a new one moves the estimate by this much.
constexpr double kNewest = 0.2;
// What another row adds to a run where it has not been measured: rows share the weights that are read.
constexpr double kRowCost = 0.15;
// Gains below this are not worth the noise of the estimates.
constexpr double kMinimalGain = 1.05;

}  // namespace

void Drafts::add(std::span<const TokenId> text) {
  if (text.size() < 2) return;
  if (text.size() > kKept) text = text.last(kKept);
  if (text.size() <= text_.size() && std::equal(text.begin(), text.end(), text_.end() - static_cast<std::ptrdiff_t>(text.size()))) return;
  if (text_.size() + text.size() > kKept) text_.erase(text_.begin(), text_.begin() + static_cast<std::ptrdiff_t>(std::min(text_.size(), text.size() + kKept / 2)));
  text_.push_back(kBoundary);
  text_.insert(text_.end(), text.begin(), text.end());
}

Drafts::Guess Drafts::guess(std::span<const TokenId> tokens, std::size_t most) const {
  Guess best;
  if (tokens.empty() || most == 0) return best;
  const TokenId last = tokens.back();
  std::span<const TokenId> where;
  std::size_t at = 0;  // of the token that follows the match
  // The timeline comes last, so that at equal length it and its newest part win.
  for (const std::span<const TokenId> text : {std::span<const TokenId>(text_), tokens}) {
    for (std::size_t i = 0; i + 1 < text.size(); ++i) {
      if (text[i] != last) continue;
      std::size_t matched = 1;
      while (matched < kLongestMatch && matched <= i && matched < tokens.size() && text[i - matched] == tokens[tokens.size() - 1 - matched]) ++matched;
      if (matched < best.matched || text[i + 1] == kBoundary) continue;
      best.matched = matched;
      where = text;
      at = i + 1;
    }
  }
  for (; at < where.size() && best.tokens.size() < most && where[at] != kBoundary; ++at) best.tokens.push_back(where[at]);
  return best;
}

std::size_t DraftGate::bucket(std::size_t matched) { return matched <= 1 ? 0 : matched <= 3 ? 1 : matched <= 7 ? 2 : matched <= 15 ? 3 : 4; }

double DraftGate::chance(std::size_t matched) const {
  const Chance& known = chances_[bucket(matched)];
  return known.right / known.tried;
}

void DraftGate::learn(Chance& chance, bool right) {
  chance.right += (right ? 1 : 0) - chance.right * kFade;
  chance.tried += 1 - chance.tried * kFade;
}
void DraftGate::learn(std::size_t matched, bool right) { learn(chances_[bucket(matched)], right); }
void DraftGate::learn_shallow(bool right) { learn(shallow_, right); }

void DraftGate::skipped_shallow() { shallow_.right += (kShallowChance * shallow_.tried - shallow_.right) * kFade / 8; }

void DraftGate::took(std::size_t rows, double ms) {
  if (rows == 0 || rows >= ms_.size()) return;
  double& known = ms_[rows];
  // Somebody else's work on the same cores makes single runs many times longer; that says nothing about this one.
  known = known == 0 ? ms : known + kNewest * (std::min(ms, 2 * known) - known);
}

double DraftGate::relative_cost(std::size_t rows) const {
  const double usual = 1 + kRowCost * static_cast<double>(rows - 1);
  return ms_[1] > 0 && ms_[rows] > 0 ? std::max(1.0, ms_[rows] / ms_[1]) : usual;
}

std::size_t DraftGate::worth(std::size_t matched, std::size_t most) const {
  std::size_t best = 0;
  double best_gain = kMinimalGain, expected = 1, reached = 1;
  for (std::size_t k = 1; k <= std::min(most, kMost); ++k) {
    reached *= chance(matched + k - 1);
    expected += reached;
    const double gain = expected / relative_cost(k + 1);
    if (gain > best_gain) best_gain = gain, best = k;
  }
  return best;
}

std::size_t DraftGate::worth_shallow(int depth, std::size_t most) const {
  if (depth < 2) return 0;
  // In runs of one loop and a third, the third being the output head: each draft costs one, checking them the other loops.
  const double loops = depth, head = 1.0 / 3;
  const double alone = loops + head;
  const double right = shallow_.right / shallow_.tried;
  std::size_t best = 0;
  double best_gain = kMinimalGain, expected = 1, reached = 1;
  for (std::size_t k = 1; k <= std::min(most, kMost); ++k) {
    reached *= right;
    expected += reached;
    const double drafting = static_cast<double>(k) * (1 + head) + 1;
    const double checking = (loops - 1 + head) * relative_cost(k + 1);
    const double gain = expected * alone / (drafting + checking);
    if (gain > best_gain) best_gain = gain, best = k;
  }
  return best;
}

}  // namespace inference
