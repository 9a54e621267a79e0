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
// A run's time is noisy: a new one moves the estimate by a share of the difference, and by no more than this share of
// itself. Somebody else's work on the same cores makes single runs many times longer; that says nothing about this one.
constexpr double kNewest = 0.2, kLargestStep = 0.03;
// Gains below this are not worth the noise of the estimates.
constexpr double kMinimalGain = 1.1;

void follow(double& known, double seen, double most_down) {
  known += std::clamp(kNewest * (seen - known), -most_down * known, kLargestStep * known);
}

}  // namespace

std::vector<TokenId> as_read(std::span<const TokenId> tokens, const FimMarks& marks) {
  const auto last = [&](TokenId mark, std::size_t before) {
    while (before > 0 && tokens[before - 1] != mark) --before;
    return before == 0 ? tokens.size() : before - 1;
  };
  std::vector<TokenId> text;
  text.reserve(tokens.size());
  const auto add = [&](std::size_t begin, std::size_t end) {
    const auto part = tokens.subspan(begin, end - begin);
    text.insert(text.end(), part.begin(), part.end());
  };
  const std::size_t middle = marks.middle < 0 ? tokens.size() : last(marks.middle, tokens.size());
  if (middle == tokens.size()) {
    add(0, tokens.size());
    return text;
  }
  const std::size_t prefix = last(marks.prefix, middle), suffix = last(marks.suffix, middle);
  if (prefix < suffix && suffix < middle) {
    add(0, prefix);
    add(suffix, middle);
    add(prefix, suffix);
  } else {
    add(0, middle);
  }
  add(middle + 1, tokens.size());
  return text;
}

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
void DraftGate::learn(std::size_t matched, bool right, bool line_end) { learn(line_end ? line_end_ : chances_[bucket(matched)], right); }
void DraftGate::learn_shallow(bool right) { learn(shallow_, right); }

void DraftGate::skipped_shallow() { shallow_.right += (kShallowChance * shallow_.tried - shallow_.right) * kFade / 8; }

void DraftGate::took(int depth, std::size_t rows, double ms) {
  if (rows == 0 || rows >= cost_.size() || depth < 1) return;
  double& one = one_row_ms_[std::min(static_cast<std::size_t>(depth), kDepths)];
  if (rows > 1) {
    if (one > 0) follow(cost_[rows], std::max(1.0, ms / one), kLargestStep);
  } else if (one == 0) {
    one = ms;
  } else {
    follow(one, ms, 1);  // the first was as likely disturbed as any, and nothing makes a run shorter than it is
  }
}

double DraftGate::relative_cost(std::size_t rows) const { return cost_[rows]; }

std::size_t DraftGate::worth(std::size_t matched, std::size_t most, std::size_t line_end) const {
  std::size_t best = 0;
  double best_gain = kMinimalGain, expected = 1, reached = 1;
  for (std::size_t k = 1; k <= std::min(most, kMost); ++k) {
    reached *= k - 1 == line_end ? line_end_.right / line_end_.tried : chance(matched + k - 1);
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
