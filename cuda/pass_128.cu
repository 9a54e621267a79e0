// The kernels of a whole loop for heads of 128.
#include "cuda/pass.cuh"

namespace cuda {

PassKernel pass_128(int column_tiles) { return column_tiles == 1 ? pass_kernel<1, 128> : pass_kernel<2, 128>; }

}  // namespace cuda
