// Decode attention's kernels for a cache of fp8.
#include "cuda/attention.cuh"

namespace cuda {

AttentionKernel attention_fp8(int group, int head_dim) { return pick_attention<Fp8>(group, head_dim); }

}  // namespace cuda
