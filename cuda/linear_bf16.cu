// The decode product's kernels for bf16 weights.
#include "cuda/linear.cuh"

namespace cuda {

LinearKernel linear_bf16(Flavour flavour, int column_tiles) { return pick_linear<Packed::bf16>(flavour, column_tiles); }

}  // namespace cuda
