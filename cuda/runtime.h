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
  bool clusters = false;  // of up to 16 blocks: 9.0, 10.0
  bool streams = false;   // bulk copies, and shared memory for rings of weights: the same
};
const Limits& limits();  // of the current device

// Sets a kernel up for `shared` bytes of dynamic shared memory and for clusters of 16 blocks, once.
bool prepare(const void* kernel, std::size_t shared, bool clusters, const char* name);

inline cudaStream_t native(Stream stream) { return reinterpret_cast<cudaStream_t>(stream); }

// Launches with programmatic dependent launch where the device has it: the kernel may start while the one before it
// still runs, and must call wait_for_previous() before it touches anything that an earlier kernel wrote or reads.
// `cluster` blocks along x, 0 for none, run on neighbouring multiprocessors.
template <typename... Parameters, typename... Arguments>
void launch_clusters(const char* name, Stream stream, void (*kernel)(Parameters...), dim3 grid, dim3 block, std::size_t shared, int cluster, Arguments... arguments) {
  if (!prepare(reinterpret_cast<const void*>(kernel), shared, cluster > 0, name)) return;
  cudaLaunchAttribute attributes[2]{};
  unsigned count = 0;
  if (limits().overlaps) {
    attributes[count].id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attributes[count++].val.programmaticStreamSerializationAllowed = 1;
  }
  if (cluster > 0) {
    attributes[count].id = cudaLaunchAttributeClusterDimension;
    attributes[count].val.clusterDim.x = static_cast<unsigned>(cluster);
    attributes[count].val.clusterDim.y = 1;
    attributes[count++].val.clusterDim.z = 1;
  }
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared;
  config.stream = native(stream);
  config.attrs = attributes;
  config.numAttrs = count;
  check(cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...), name);
}

// Launches blocks that wait for each other: either all of them run at once or it fails. `cluster` as above.
template <typename... Parameters, typename... Arguments>
void launch_cooperative(const char* name, Stream stream, void (*kernel)(Parameters...), dim3 grid, dim3 block, std::size_t shared, int cluster, Arguments... arguments) {
  if (!prepare(reinterpret_cast<const void*>(kernel), shared, false, name)) return;
  cudaLaunchAttribute attributes[2]{};
  attributes[0].id = cudaLaunchAttributeCooperative;
  attributes[0].val.cooperative = 1;
  attributes[1].id = cudaLaunchAttributeClusterDimension;
  attributes[1].val.clusterDim.x = static_cast<unsigned>(cluster);
  attributes[1].val.clusterDim.y = attributes[1].val.clusterDim.z = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared;
  config.stream = native(stream);
  config.attrs = attributes;
  config.numAttrs = cluster > 0 ? 2 : 1;
  check(cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...), name);
}

template <typename... Parameters, typename... Arguments>
void launch(const char* name, Stream stream, void (*kernel)(Parameters...), dim3 grid, dim3 block, std::size_t shared, Arguments... arguments) {
  launch_clusters(name, stream, kernel, grid, block, shared, 0, arguments...);
}

}  // namespace cuda
