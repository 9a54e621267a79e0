// The decode product's kernels for int8 weights.
#include "cuda/linear.cuh"

namespace cuda {

LinearKernel linear_int8(Flavour flavour, int column_tiles) { return pick_linear<Packed::int8>(flavour, column_tiles); }

}  // namespace cuda
