// A model's weights on a CUDA device, in the order its kernels read.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "inference/cuda_memory.h"
#include "inference/model.h"

namespace inference {

struct CudaLayer {
  float* input_norm = nullptr;      // [hidden]
  float* attention_norm = nullptr;  // [hidden]
  cuda::Matrix qkv;                 // [q_width + 2 kv_width][hidden]
  cuda::Matrix o;                   // [hidden][q_width]
  cuda::Matrix gate_up;             // [2 intermediate][hidden], interleaved
  cuda::Matrix down;                // [hidden][intermediate]
  float* qkv_bias = nullptr;        // null, or [q_width + 2 kv_width]
  float* q_gain = nullptr;          // null, or [head_dim]
  float* k_gain = nullptr;
  float* loop_gate_weight = nullptr;  // null, or [heads][head_dim]
  float* loop_gate_bias = nullptr;    // null, or [heads]
};

struct CudaWeights {
  cuda::Matrix embedding, head;       // of tied embeddings both are the same memory
  float* norm = nullptr;              // [hidden]
  float* loop_input_norm = nullptr;   // loopd: [max_depth][hidden]
  float* loop_state_norm = nullptr;   // loopd: [max_depth - 1][hidden]
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
