// What every launcher needs: checked CUDA calls, the device's limits, and launches that overlap the kernel before them.
#pragma once

#include <cuda_runtime.h>

#include <string>

#include "cuda/plugin.h"

namespace cuda {

// Records a failed call (or launch) with what was tried; true where it succeeded. See plugin.h on errors.
bool check(cudaError_t error, const char* what);
// Records a failure of our own: a shape that no kernel takes.
void fail(const std::string& text);

struct Limits {
  int multiprocessors = 0;
  int shared_bytes = 0;  // that one block may ask for
  bool overlaps = false;  // programmatic dependent launch: compute capability 9.0 and up
};
const Limits& limits();  // of the current device

// Sets a kernel up for `shared` bytes of dynamic shared memory, once. All kernels ask for the same split of L1 and shared
// memory: a multiprocessor must run empty before it changes that, and then kernels would not overlap.
bool prepare(const void* kernel, std::size_t shared, const char* name);

inline cudaStream_t native(Stream stream) { return reinterpret_cast<cudaStream_t>(stream); }

// Launches with programmatic dependent launch where the device has it: the kernel may start while the one before it
// still runs, and must call wait_for_previous() before it touches anything that an earlier kernel wrote or reads.
template <typename... Parameters, typename... Arguments>
void launch(const char* name, Stream stream, void (*kernel)(Parameters...), dim3 grid, dim3 block, std::size_t shared, Arguments... arguments) {
  if (!prepare(reinterpret_cast<const void*>(kernel), shared, name)) return;
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attribute.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared;
  config.stream = native(stream);
  config.attrs = &attribute;
  config.numAttrs = limits().overlaps ? 1 : 0;
  check(cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...), name);
}

}  // namespace cuda
