// The decode product's kernels for int4 weights in groups with zero points.
#include "cuda/linear.cuh"

namespace cuda {

LinearKernel linear_int4_zeros(Flavour flavour, int column_tiles) { return pick_linear<Packed::int4_zeros>(flavour, column_tiles); }

}  // namespace cuda
