// The decode product's kernels for int4 weights in groups with zero points.
#include "cuda/linear.cuh"

namespace cuda {

LinearKernel linear_int4_zeros(bool many, int column_tiles) { return pick_linear<Packed::int4_zeros>(many, column_tiles); }

}  // namespace cuda
