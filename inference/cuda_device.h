// A CUDA device as the engine sees it: lanes hold pages of one pool, and their work runs together, one loop at a time.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <exception>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "inference/cuda_forward.h"
#include "inference/lane.h"
#include "inference/positions.h"

namespace inference {

struct CudaOptions {
  std::size_t memory = 0;  // bytes the device may be asked for in all; 0: what is free
  cuda::Type keys = cuda::Type::bf16;
};

class CudaLane;

// What a lane asks for: loops run up to a depth, then perhaps the choice or the logits that follow. Lives on the stack of
// the thread that waits for it.
struct CudaJob {
  enum class Head { none, greedy, logits };

  CudaLane* lane = nullptr;
  int depth = 1;
  std::size_t first_needed = 0;
  std::stop_token stop;
  Deadline deadline;
  Head head = Head::none;
  std::size_t first = 0, count = 0;  // positions whose logits are wanted
  GreedyRule rule;

  std::vector<std::size_t> starts;  // next position of each loop; empty until planned
  int r = 1;                        // the loop at hand
  bool done = false;
  bool complete = false;            // false where it was stopped first
  std::exception_ptr failure;
  std::vector<float> logits;
  Sampled choice;
};

// Who waits computes: of the threads whose jobs are not done one drives, and each of its ticks runs one loop for as many
// rows of all jobs as fit, whatever loop each is in; so requests of different depths share the reading of the weights,
// and nobody waits for another's answer longer than a tick. A thread alone never hands anything to another.
class CudaDevice final : public Device {
 public:
  // Uploads the weights and takes memory for caches. Throws std::runtime_error: one line, with what is needed and what
  // the device has where it is too little.
  CudaDevice(const CudaPlugin& plugin, const Model& model, const CudaOptions& options);

  std::unique_ptr<Lane> open_lane() override;
  // "1.2 GB of weights, 3.4 GB of caches for 12345 tokens".
  std::string memory_summary() const;
  std::size_t cache_tokens() const;

 private:
  friend class CudaLane;
  struct Batch;

  void finish(CudaJob& job);
  void tick(std::unique_lock<std::mutex>& lock);
  Batch compose();
  void launch(Batch& batch);
  void settle(Batch& batch);
  void fail_all(const std::exception_ptr& failure);
  void plan(CudaJob& job);
  void make_resident(CudaLane& lane);
  void prepare(CudaLane& lane, int r, std::size_t first, std::size_t end);
  int take_page(std::vector<int>& pool, const CudaLane& wanted_by, const char* what);
  bool evict_one(const CudaLane& wanted_by);
  void release(CudaLane& lane);
  void trim(CudaLane& lane);
  CudaRow row(const CudaLane& lane, int r, std::size_t position) const;
  long long slot(const CudaLane& lane, int r, std::size_t position) const;

  const cuda::Api& api_;
  const Model& model_;
  CudaStream stream_;
  CudaMemory memory_;
  CudaWeights weights_;
  CudaSizes sizes_;
  std::unique_ptr<CudaForward> forward_;
  std::size_t ring_;         // positions that a later loop's keys are kept for
  std::size_t tables_each_;  // page tables of a lane: one a loop
  bool long_loops_;          // one loop takes long enough that a stop request should not wait for two

  std::mutex mutex_;  // guards what follows, and every lane's positions and pages; not held while the device computes
  std::condition_variable changed_;
  bool driving_ = false;
  std::list<CudaJob*> jobs_;    // in the order in which they are served
  std::list<CudaLane*> lanes_;  // least recently used first
  std::vector<int> free_keys_, free_states_, free_tables_;
};

class CudaLane final : public Lane {
 public:
  explicit CudaLane(CudaDevice& device);
  ~CudaLane() override;

  const std::vector<TokenId>& tokens() const override { return positions_.tokens(); }
  std::size_t cached() const override;
  std::size_t replace(std::span<const TokenId> tokens) override;
  void append(TokenId token) override { positions_.append(token); }
  bool exact_batches() const override;
  bool run(int depth, std::size_t first_needed, const std::stop_token& stop, const Deadline& deadline) override;
  void logits(int depth, std::size_t first, std::size_t count, std::vector<float>& to) override;
  std::optional<Sampled> greedy(int depth, const GreedyRule& rule) override;

 private:
  friend class CudaDevice;
  // Pages of one loop by position / 64; -1 where there is none.
  struct LoopPages {
    std::vector<int> keys, states;
  };

  CudaDevice& device_;
  Positions positions_;
  std::vector<LoopPages> pages_;
  int table_ = -1;    // first of its page tables; -1: nothing of this lane is on the device
  int busy_ = 0;      // jobs at hand: its pages may not be taken away
};

}  // namespace inference
