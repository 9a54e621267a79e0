// A model's weights on a CUDA device, in the order its kernels read.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "inference/cuda_memory.h"
#include "inference/model.h"

namespace inference {

struct CudaLayer {
  cuda::Gain input_norm;      // [hidden], one for each loop that has its own
  cuda::Gain attention_norm;  // [hidden]
  cuda::Matrix qkv;                 // [q_width + 2 kv_width][hidden]
  cuda::Matrix o;                   // [hidden][q_width]
  cuda::Matrix gate_up;             // [2 intermediate][hidden], interleaved
  cuda::Matrix down;                // [hidden][intermediate]
  float* qkv_bias = nullptr;        // null, or [q_width + 2 kv_width]
  cuda::Gain q_gain, k_gain;        // none, or [head_dim]
  cuda::Gain loop_gate_weight;      // none, or [heads][head_dim]
  cuda::Gain loop_gate_bias;        // none, or [heads]
};

struct CudaWeights {
  cuda::Matrix embedding, head;       // of tied embeddings both are the same memory
  cuda::Gain norm;                    // [hidden]
  cuda::Gain loop_input_norm;         // loopd: [hidden]
  cuda::Gain loop_state_norm, loop_carry;  // loopd, or none: [hidden], that of r - 1 for loop r
  float* rope = nullptr;              // [max_positions][head_dim / 2] {cos, sin}
  std::vector<CudaLayer> layers;

  // The largest of what `size` says of every matrix.
  template <class Size>
  std::size_t largest(Size size) const {
    std::size_t most = std::max(size(embedding), size(head));
    for (const CudaLayer& layer : layers) most = std::max({most, size(layer.qkv), size(layer.o), size(layer.gate_up), size(layer.down)});
    return most;
  }
};

// What upload_weights() will make, without memory, and the device bytes it will take: nothing is allocated.
CudaWeights cuda_weight_shapes(const cuda::Api& api, const Model& model);
std::size_t cuda_weight_bytes(const cuda::Api& api, const Model& model);

// Uploads and repacks; matrices without data (a synthetic model) get random weights. Throws std::runtime_error naming
// what does not fit together.
CudaWeights upload_weights(const cuda::Api& api, cuda::Stream stream, CudaMemory& memory, const Model& model);

}  // namespace inference
