// What an engine computes with: kernels, threads and scratch, used by one caller at a time.
#pragma once

#include <mutex>

#include "inference/forward.h"
#include "inference/thread_pool.h"

namespace inference {

struct Compute {
  Compute(const Model& model, const Ops& ops, int threads) : pool(threads), forward(model, ops, pool) {}

  std::mutex mutex;  // held for one run of the forward pass, so that sessions on several threads take turns
  ThreadPool pool;
  Forward forward;
};

}  // namespace inference
