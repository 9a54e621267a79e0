// The kernels of a whole loop for heads of 64.
#include "cuda/pass.cuh"

namespace cuda {

PassKernel pass_64(int column_tiles, Type keys, bool clocks, bool marked) {
  if (marked) {
    if (keys == Type::fp8) return pass_kernel<1, 64, Fp8, false, true>;
    return clocks ? pass_kernel<1, 64, __nv_bfloat16, true, true> : pass_kernel<1, 64, __nv_bfloat16, false, true>;
  }
  if (keys == Type::fp8) return column_tiles == 1 ? pass_kernel<1, 64, Fp8, false, false> : pass_kernel<2, 64, Fp8, false, false>;
  if (clocks) return column_tiles == 1 ? pass_kernel<1, 64, __nv_bfloat16, true, false> : pass_kernel<2, 64, __nv_bfloat16, true, false>;
  return column_tiles == 1 ? pass_kernel<1, 64, __nv_bfloat16, false, false> : pass_kernel<2, 64, __nv_bfloat16, false, false>;
}

}  // namespace cuda
