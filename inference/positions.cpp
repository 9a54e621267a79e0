// Bookkeeping of positions: what can be reused, what has to run, and where a loop may start late.
#include "inference/positions.h"

#include <algorithm>

namespace inference {
namespace {

// A loop that starts late starts this much earlier than it must, so that stepping back a little stays exact.
constexpr std::size_t kMargin = kChunk;

}  // namespace

Positions::Positions(const ModelConfig& config)
    : layers_(static_cast<std::size_t>(config.layers)), window_(static_cast<std::size_t>(config.window)),
      reach_(layers_ * (window_ > 0 ? window_ - 1 : 0)), spans_(1) {}

std::size_t Positions::replace(std::span<const TokenId> tokens) {
  const auto [mine, theirs] = std::mismatch(tokens_.begin(), tokens_.end(), tokens.begin(), tokens.end());
  const auto common = static_cast<std::size_t>(mine - tokens_.begin());
  tokens_.assign(tokens.begin(), tokens.end());
  for (LoopSpan& span : spans_) {
    span.end = std::min(span.end, common);
    if (span.begin >= span.end) span = {};
  }
  return std::min(common, spans_.front().end);
}

void Positions::clear() { std::fill(spans_.begin(), spans_.end(), LoopSpan{}); }

bool Positions::can_continue(const LoopSpan& span) const {
  if (span.end == 0) return true;
  const std::size_t looks_back_to = span.end + 1 > window_ ? span.end + 1 - window_ : 0;
  const std::size_t exact_from = span.begin == 0 ? 0 : span.begin + (layers_ - 1) * (window_ - 1);
  return looks_back_to >= span.oldest && looks_back_to >= exact_from;
}

std::vector<std::size_t> Positions::plan(int depth, std::size_t first_needed) {
  if (spans_.size() < static_cast<std::size_t>(depth)) spans_.resize(static_cast<std::size_t>(depth));
  const std::size_t count = tokens_.size();
  std::vector<std::size_t> starts(static_cast<std::size_t>(depth), count);
  std::size_t needed = first_needed;  // of the loop at hand: first position whose states somebody reads
  for (int r = depth; r >= 2 && needed < count; --r) {
    LoopSpan& span = at(r);
    const std::size_t states_from = span.begin == 0 ? 0 : span.begin + reach_;
    const std::size_t late = needed > reach_ + kMargin ? needed - reach_ - kMargin : 0;
    const bool goes_on = can_continue(span) && late <= span.end && (needed >= span.end || needed >= states_from);
    if (!goes_on) span.begin = span.end = span.oldest = late;
    starts[static_cast<std::size_t>(r - 1)] = span.end;
    needed = std::min(span.end, count);
  }
  starts[0] = span(1).end;
  return starts;
}

void Positions::start(int r, std::size_t first) {
  LoopSpan& span = at(r);
  if (span.begin == span.end) span.begin = span.end = span.oldest = first;
}

void Positions::advance(int r, std::size_t end, std::size_t ring) {
  LoopSpan& span = at(r);
  span.end = end;
  if (r > 1 && end > ring) span.oldest = std::max(span.oldest, end - ring);
}

}  // namespace inference
