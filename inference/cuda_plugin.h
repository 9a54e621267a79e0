// Finds and opens the CUDA plug-in, and says in one line why it cannot.
#pragma once

#include <stdexcept>
#include <string>

#include "cuda/plugin.h"

namespace inference {

// The device failed in a way that no later call on it survives; whoever has a CPU to fall back to does so.
struct DeviceLost : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct CudaPlugin {
  const cuda::Api* api = nullptr;
  std::string path;
  cuda::DeviceInfo device;  // of the first visible device: CUDA_VISIBLE_DEVICES says which that is
};

// Opens libloopd_cuda.so: the file that $LOOPD_CUDA_PLUGIN names; else beside the binary, else in ../lib/loopd. Throws
// std::runtime_error where there is no plug-in, no driver, no device, or no code for the device's architecture. The
// library stays open until the process ends.
CudaPlugin open_cuda_plugin();

// Throws DeviceLost or std::runtime_error, whichever the device's state calls for, with `what` and the plug-in's reason.
[[noreturn]] void throw_cuda(const cuda::Api& api, const std::string& what);

}  // namespace inference
