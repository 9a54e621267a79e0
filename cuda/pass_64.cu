// The kernels of a whole loop for heads of 64.
#include "cuda/pass.cuh"

namespace cuda {

PassKernel pass_64(int column_tiles, Type keys, bool clocks) {
  if (keys == Type::fp8) return column_tiles == 1 ? pass_kernel<1, 64, Fp8, false> : pass_kernel<2, 64, Fp8, false>;
  if (clocks) return column_tiles == 1 ? pass_kernel<1, 64, __nv_bfloat16, true> : pass_kernel<2, 64, __nv_bfloat16, true>;
  return column_tiles == 1 ? pass_kernel<1, 64, __nv_bfloat16, false> : pass_kernel<2, 64, __nv_bfloat16, false>;
}

}  // namespace cuda
