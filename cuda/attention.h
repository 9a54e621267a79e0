// Between attention.cu, which launches decode attention, and the kernels made per type of cache (attention_*.cu).
#pragma once

#include "cuda/plugin.h"

namespace cuda {

struct AttentionArguments {
  float* out;
  const float* qkv;
  const void* keys;
  const void* values;
  Gain gate_weight, gate_bias;
  float* parts;        // [rows][kv_heads][splits + 1][group * head_dim + 2 * group]
  unsigned* counters;  // [rows][kv_heads], zero at rest
  Rows rows;
  HeadShape shape;
  int window, splits;
  bool clustered;  // the splits + 1 blocks of a (kv head, row) share a cluster and merge through shared memory
};

using AttentionKernel = void (*)(AttentionArguments);

// Null where no kernel takes the shape: group (heads / kv_heads) 1 to 8, head_dim up to 128.
AttentionKernel attention_bf16(int group, int head_dim);
AttentionKernel attention_fp8(int group, int head_dim);

}  // namespace cuda
