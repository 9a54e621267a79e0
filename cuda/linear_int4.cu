// The decode product's kernels for int4 weights in groups, symmetric.
#include "cuda/linear.cuh"

namespace cuda {

LinearKernel linear_int4(Flavour flavour, int column_tiles) { return pick_linear<Packed::int4>(flavour, column_tiles); }

}  // namespace cuda
