// What finishing queries, keys and values takes, as kernels get it.
#pragma once

#include <vector_types.h>

#include "cuda/plugin.h"

namespace cuda {

struct RopeArguments {
  KvCache cache;
  const float* bias;    // [heads + 2 kv_heads][head_dim], or null
  const float* q_gain;  // [head_dim], or null
  const float* k_gain;
  const float2* table;  // [position][head_dim / 2]
  Rows rows;
  HeadShape shape;
  float eps;
};

}  // namespace cuda
