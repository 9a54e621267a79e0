// The boundary between generation and the kinds of device: a device opens lanes, a lane is one timeline that lives there.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <vector>

#include "inference/sampler.h"
#include "inference/tokenizer.h"

namespace inference {

using Deadline = std::optional<std::chrono::steady_clock::time_point>;

// What a device may pick by itself, without handing the logits over.
struct GreedyRule {
  std::size_t vocabulary = 0;                // ids from here on stand for no token
  std::span<const std::uint32_t> allowed;    // one bit an id, the lowest first; empty: all are allowed
  std::span<const TokenId> biased;           // ids whose logit gets `bias` added before the choice
  float bias = 0;
};

// One timeline of tokens and what a device has computed for them. Used by one thread at a time; different lanes of one
// device may be used by different threads at once.
class Lane {
 public:
  virtual ~Lane() = default;

  virtual const std::vector<TokenId>& tokens() const = 0;
  // Tokens from the start for which loop 1 has run.
  virtual std::size_t cached() const = 0;

  // Makes `tokens` the timeline's, keeping what was computed for their longest common prefix with the old ones; returns
  // its length. Nothing is computed.
  virtual std::size_t replace(std::span<const TokenId> tokens) = 0;
  virtual void append(TokenId token) = 0;

  // Runs loops 1..depth as far as needed for exact states of loop `depth` from `first_needed` to the end of the tokens.
  // False where `stop` was requested or the deadline passed first, looked at once per loop and chunk; what was computed
  // by then counts. Throws std::runtime_error where the device fails; the lane is then empty and can be used again.
  virtual bool run(int depth, std::size_t first_needed, const std::stop_token& stop, const Deadline& deadline = {}) = 0;

  // Logits [count][vocab] after positions [first, first + count) of loop `depth`, which must have run. Who asks again and
  // again keeps `to`: the pages of half a megabyte that is new each time cost as much as a row of a draft.
  virtual void logits(int depth, std::size_t first, std::size_t count, std::vector<float>& to) = 0;
  std::vector<float> logits(int depth, std::size_t first, std::size_t count) {
    std::vector<float> result;
    logits(depth, first, count, result);
    return result;
  }

  // Whether a position's results are the same to the last bit however many positions run together, so that drafts may be
  // checked in a batch.
  virtual bool exact_batches() const { return false; }

  // The likeliest allowed token after the last position, the smaller id among equals, as greedy sampling picks it from
  // logits(); nothing where this device leaves the choice to the caller.
  virtual std::optional<Sampled> greedy(int depth, const GreedyRule& rule) {
    static_cast<void>(depth), static_cast<void>(rule);
    return std::nullopt;
  }
};

// What the weights lie on. Everything but opening lanes is the implementation's own.
class Device {
 public:
  virtual ~Device() = default;
  virtual std::unique_ptr<Lane> open_lane() = 0;
};

}  // namespace inference
