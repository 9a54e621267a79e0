// Owns memory of a CUDA device: what is allocated through it goes with it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "inference/cuda_plugin.h"

namespace inference {

// A stream of work on the device.
class CudaStream {
 public:
  explicit CudaStream(const cuda::Api& api) : api_(api), stream_(api.stream_create()) {
    if (!stream_) throw_cuda(api_, "creating a stream");
  }
  ~CudaStream() { api_.stream_destroy(stream_); }
  CudaStream(const CudaStream&) = delete;
  CudaStream& operator=(const CudaStream&) = delete;
  cuda::Stream get() const { return stream_; }

 private:
  const cuda::Api& api_;
  cuda::Stream stream_;
};

class CudaMemory {
 public:
  explicit CudaMemory(const cuda::Api& api) : api_(api) {}
  ~CudaMemory() {
    for (void* memory : device_) api_.device_free(memory);
    for (void* memory : host_) api_.host_free(memory);
  }
  CudaMemory(const CudaMemory&) = delete;
  CudaMemory& operator=(const CudaMemory&) = delete;

  // Device memory, uninitialised. Throws where there is too little.
  template <class T>
  T* device(std::size_t count) {
    void* memory = api_.device_alloc(count * sizeof(T));
    if (!memory) throw_cuda(api_, "allocating " + std::to_string(count * sizeof(T)) + " bytes");
    device_.push_back(memory);
    bytes_ += count * sizeof(T);
    return static_cast<T*>(memory);
  }
  // The same, filled with a copy of `values`; null for none.
  template <class T>
  T* device(cuda::Stream stream, const std::vector<T>& values) {
    if (values.empty()) return nullptr;
    T* memory = device<T>(values.size());
    if (!api_.upload(stream, memory, values.data(), values.size() * sizeof(T)) || !api_.sync(stream)) throw_cuda(api_, "uploading");
    return memory;
  }
  // Host memory that copies to and from the device need not wait for.
  template <class T>
  T* pinned(std::size_t count) {
    void* memory = api_.host_alloc(count * sizeof(T));
    if (!memory) throw_cuda(api_, "allocating " + std::to_string(count * sizeof(T)) + " bytes of host memory");
    host_.push_back(memory);
    return static_cast<T*>(memory);
  }
  std::size_t bytes() const { return bytes_; }

 private:
  const cuda::Api& api_;
  std::vector<void*> device_, host_;
  std::size_t bytes_ = 0;
};

}  // namespace inference
