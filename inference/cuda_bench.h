// Measures decode and prefill on a CUDA device, beside the copy bandwidth of the same run.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "inference/model.h"

namespace inference {

struct CudaBenchRequest {
  bool decode = true;            // else prefill
  std::vector<int> depths{1, 2};
  std::vector<int> batches{1};   // decode only
  std::vector<std::size_t> contexts{0};
};

struct CudaBenchRow {
  int depth = 1, batch = 1;
  std::size_t context = 0;
  double ms_per_token = 0;        // decode: of one step of all rows, the choice of the next token included
  double tokens_per_s = 0;        // prefill
  double tflops = 0;              // prefill: of the linear layers
  double bandwidth_gbs = 0;       // decode: weights, head, keys and values read a step
  double copy_bandwidth_gbs = 0;  // read and written bytes of a large copy
  std::string device;
};

// Calls `row` with each result as it comes; a combination that does not fit the device's memory is left out, and `note`
// says so. Caches hold zeros: what is in them does not change what they cost. Throws std::runtime_error.
void cuda_bench(const Model& model, const CudaBenchRequest& request, const std::function<void(const CudaBenchRow&)>& row,
                const std::function<void(const std::string&)>& note);

}  // namespace inference
