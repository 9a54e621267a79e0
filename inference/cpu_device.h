// The CPU as a device: kernels, threads and scratch that the lanes of an engine share, one run at a time.
#pragma once

#include <mutex>

#include "inference/forward.h"
#include "inference/lane.h"
#include "inference/packed.h"
#include "inference/thread_pool.h"
#include "inference/timeline.h"

namespace inference {

class CpuDevice final : public Device {
 public:
  // The specification computes on the weights as stored, with caches in float32; the fast kernels on packed weights, with
  // caches in float16.
  CpuDevice(Model& model, bool reference, int threads)
      : model_(model), kv_(reference ? KvType::f32 : KvType::f16), pool_(threads), forward_(model, reference ? reference_ops() : fast_ops(), pool_) {
    if (!reference) pack(model, pool_);
  }

  std::unique_ptr<Lane> open_lane() override;

 private:
  friend class CpuLane;
  const Model& model_;
  const KvType kv_;
  std::mutex mutex_;  // held for one run of the forward pass, so that lanes on several threads take turns
  ThreadPool pool_;
  Forward forward_;
};

class CpuLane final : public Lane {
 public:
  explicit CpuLane(CpuDevice& device) : device_(device), timeline_(device.model_.config, device.kv_) {}

  const std::vector<TokenId>& tokens() const override { return timeline_.tokens(); }
  std::size_t cached() const override { return timeline_.span(1).end; }
  std::size_t replace(std::span<const TokenId> tokens) override { return timeline_.replace(tokens); }
  void append(TokenId token) override { timeline_.append(token); }
  bool exact_batches() const override { return true; }
  bool run(int depth, std::size_t first_needed, const std::stop_token& stop, const Deadline& deadline) override {
    const std::lock_guard lock(device_.mutex_);
    return device_.forward_.run(timeline_, depth, first_needed, stop, deadline);
  }
  std::vector<float> logits(int depth, std::size_t first, std::size_t count) override {
    const std::lock_guard lock(device_.mutex_);
    return device_.forward_.logits(timeline_, depth, first, count);
  }

 private:
  CpuDevice& device_;
  Timeline timeline_;
};

inline std::unique_ptr<Lane> CpuDevice::open_lane() { return std::make_unique<CpuLane>(*this); }

}  // namespace inference
