// The decode product's kernels for weights kept as two bf16.
#include "cuda/linear.cuh"

namespace cuda {

LinearKernel linear_pair(Flavour flavour, int column_tiles) { return pick_linear<Packed::pair>(flavour, column_tiles); }

}  // namespace cuda
