// The decode product's kernels for int4 weights in groups, symmetric.
#include "cuda/linear.cuh"

namespace cuda {

LinearKernel linear_int4(bool many, int column_tiles) { return pick_linear<Packed::int4>(many, column_tiles); }

}  // namespace cuda
