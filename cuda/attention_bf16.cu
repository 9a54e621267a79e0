// Decode attention's kernels for a cache of bf16.
#include "cuda/attention.cuh"

namespace cuda {

AttentionKernel attention_bf16(int group, int head_dim) { return pick_attention<__nv_bfloat16>(group, head_dim); }

}  // namespace cuda
