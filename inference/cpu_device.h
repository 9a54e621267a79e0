// The CPU as a device: kernels, threads and scratch that the lanes of an engine share, one run at a time.
#pragma once

#include <algorithm>
#include <mutex>

#include "inference/forward.h"
#include "inference/lane.h"
#include "inference/packed.h"
#include "inference/prefix_cache.h"
#include "inference/thread_pool.h"
#include "inference/timeline.h"

namespace inference {

class CpuDevice final : public Device {
 public:
  // The specification computes on the weights as stored, with caches in float32; the fast kernels on packed weights, with
  // caches in float16.
  // `prefix_bytes` is what prompts' beginnings may take that no lane holds any more, or several do.
  CpuDevice(Model& model, bool reference, int threads, std::size_t prefix_bytes)
      : model_(model),
        kv_(reference ? KvType::f32 : KvType::f16),
        prefixes_(Timeline(model.config, kv_).page_bytes(), prefix_bytes),
        pool_(threads),
        forward_(model, reference ? reference_ops() : fast_ops(), pool_) {
    if (!reference) pack(model, pool_);
  }

  std::unique_ptr<Lane> open_lane() override;
  PrefixCache::Usage prefixes() const { return prefixes_.usage(); }

 private:
  friend class CpuLane;
  const Model& model_;
  const KvType kv_;
  PrefixCache prefixes_;
  std::mutex mutex_;  // held for one run of the forward pass, so that lanes on several threads take turns
  ThreadPool pool_;
  Forward forward_;
};

class CpuLane final : public Lane {
 public:
  explicit CpuLane(CpuDevice& device) : device_(device), timeline_(device.model_.config, device.kv_) {}

  const std::vector<TokenId>& tokens() const override { return timeline_.tokens(); }
  std::size_t cached() const override { return timeline_.span(1).end; }
  std::size_t replace(std::span<const TokenId> tokens) override {
    shared_ = std::min(shared_, timeline_.replace(tokens) / kKvPage);
    return device_.prefixes_.extend(timeline_);
  }
  void append(TokenId token) override { timeline_.append(token); }
  bool exact_batches() const override { return true; }
  bool run(int depth, std::size_t first_needed, const std::stop_token& stop, const Deadline& deadline) override {
    const bool done = [&] {
      const std::lock_guard lock(device_.mutex_);
      return device_.forward_.run(timeline_, depth, first_needed, stop, deadline);
    }();
    if (const std::size_t full = timeline_.span(1).end / kKvPage; full > shared_) {
      device_.prefixes_.share(timeline_);
      shared_ = full;
    }
    return done;
  }
  void logits(int depth, std::size_t first, std::size_t count, std::vector<float>& to) override {
    const std::lock_guard lock(device_.mutex_);
    device_.forward_.logits(timeline_, depth, first, count, to);
  }

 private:
  CpuDevice& device_;
  Timeline timeline_;
  std::size_t shared_ = 0;  // pages from the start that the device's other lanes have been shown
};

inline std::unique_ptr<Lane> CpuDevice::open_lane() { return std::make_unique<CpuLane>(*this); }

}  // namespace inference
