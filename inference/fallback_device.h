// A device that may be lost while it is used: its lanes then go on elsewhere, from the tokens they hold.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <type_traits>
#include <utility>

#include "inference/cuda_plugin.h"
#include "inference/lane.h"

namespace inference {

// A CUDA error that no later call survives costs the caches and the speed, never a request: whoever meets it first opens
// the second device, and each lane moves there when it is next used.
class FallbackDevice final : public Device {
 public:
  FallbackDevice(std::unique_ptr<Device> first, std::function<std::unique_ptr<Device>()> open_second)
      : first_(std::move(first)), open_second_(std::move(open_second)) {}

  std::unique_ptr<Lane> open_lane() override;
  // Lanes of the second device, which is opened at the first call.
  std::unique_ptr<Lane> open_second_lane() {
    const std::lock_guard lock(mutex_);
    if (!second_) second_ = open_second_();
    return second_->open_lane();
  }

 private:
  friend class FallbackLane;
  bool lost() {
    const std::lock_guard lock(mutex_);
    return second_ != nullptr;
  }

  std::unique_ptr<Device> first_;
  std::function<std::unique_ptr<Device>()> open_second_;
  std::mutex mutex_;
  std::unique_ptr<Device> second_;
};

class FallbackLane final : public Lane {
 public:
  FallbackLane(FallbackDevice& device, std::unique_ptr<Lane> lane, bool moved) : device_(device), lane_(std::move(lane)), moved_(moved) {}

  const std::vector<TokenId>& tokens() const override { return lane_->tokens(); }
  std::size_t cached() const override { return lane_->cached(); }
  std::size_t replace(std::span<const TokenId> tokens) override { return lane_->replace(tokens); }
  void append(TokenId token) override { lane_->append(token); }
  bool exact_batches() const override { return lane_->exact_batches(); }
  bool run(int depth, std::size_t first_needed, const std::stop_token& stop, const Deadline& deadline) override {
    return attempt([&] { return lane_->run(depth, first_needed, stop, deadline); }, [] {});
  }
  void logits(int depth, std::size_t first, std::size_t count, std::vector<float>& to) override {
    attempt([&] { lane_->logits(depth, first, count, to); }, [&] { lane_->run(depth, first, {}); });
  }
  std::optional<Sampled> greedy(int depth, const GreedyRule& rule) override {
    return attempt([&] { return lane_->greedy(depth, rule); }, [&] { lane_->run(depth, tokens().size() - 1, {}); });
  }

 private:
  // Does `work`; where the device is lost under it, moves to the second one, catches up there, and does it again.
  template <class Work, class CatchUp>
  std::invoke_result_t<Work> attempt(Work work, CatchUp catch_up) {
    try {
      return work();
    } catch (const DeviceLost&) {
      if (moved_) throw;
    }
    std::unique_ptr<Lane> other = device_.open_second_lane();
    other->replace(lane_->tokens());
    lane_ = std::move(other);
    moved_ = true;
    catch_up();
    return work();
  }

  FallbackDevice& device_;
  std::unique_ptr<Lane> lane_;
  bool moved_;
};

inline std::unique_ptr<Lane> FallbackDevice::open_lane() {
  const bool moved = lost();
  return std::make_unique<FallbackLane>(*this, moved ? open_second_lane() : first_->open_lane(), moved);
}

}  // namespace inference
