// The kernels of a whole loop for heads of 64.
#include "cuda/pass.cuh"

namespace cuda {

PassKernel pass_64(int column_tiles) { return column_tiles == 1 ? pass_kernel<1, 64> : pass_kernel<2, 64>; }

}  // namespace cuda
