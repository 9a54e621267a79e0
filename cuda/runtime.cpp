// Devices, memory, streams and graphs behind the plug-in's table, with errors kept as text.
#include "cuda/runtime.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <utility>

#include "cuda/table.h"

namespace cuda {
namespace {

thread_local std::string last_text;
// The first failure since the last sync or clear_error: operations return nothing, so it waits here.
std::atomic<bool> operation_failed{false};
// The text of a fault that the context does not recover from.
std::mutex sticky_mutex;
std::string sticky_text;

bool is_sticky(cudaError_t error) {
  switch (error) {
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchTimeout:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorLaunchFailure:
    case cudaErrorAssert:
    case cudaErrorECCUncorrectable:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorDevicesUnavailable: return true;
    default: return false;
  }
}

bool faulted() {
  const std::lock_guard lock(sticky_mutex);
  if (sticky_text.empty()) return false;
  last_text = sticky_text;
  return true;
}

}  // namespace

bool check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return !faulted();
  cudaGetLastError();  // a failed launch is reported once, here
  if (faulted()) return false;
  last_text = std::string(what) + ": " + cudaGetErrorString(error) + " (" + cudaGetErrorName(error) + ")";
  operation_failed = true;
  if (is_sticky(error)) {
    const std::lock_guard lock(sticky_mutex);
    sticky_text = last_text;
  }
  return false;
}

void fail(const std::string& text) {
  last_text = text;
  operation_failed = true;
}

const Limits& limits() {
  // One entry a device; filled once, read often.
  static std::mutex mutex;
  static Limits known[64];
  thread_local int cached = -1;
  int device = 0;
  cudaGetDevice(&device);
  device = std::clamp(device, 0, 63);
  if (cached == device) return known[device];
  const std::lock_guard lock(mutex);
  Limits& entry = known[device];
  if (entry.multiprocessors == 0) {
    int major = 0;
    cudaDeviceGetAttribute(&entry.multiprocessors, cudaDevAttrMultiProcessorCount, device);
    cudaDeviceGetAttribute(&entry.shared_bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
    cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
    entry.overlaps = major >= 9 && std::getenv("LOOPD_CUDA_NO_OVERLAP") == nullptr;
    entry.clusters = (major == 9 || major == 10) && std::getenv("LOOPD_CUDA_NO_CLUSTERS") == nullptr;
    entry.streams = (major == 9 || major == 10) && entry.shared_bytes >= 220 * 1024 && std::getenv("LOOPD_CUDA_NO_PASS") == nullptr;
    if (entry.multiprocessors == 0) entry.multiprocessors = 1;
  }
  cached = device;
  return entry;
}

bool prepare(const void* kernel, std::size_t shared, bool clusters, const char* name) {
  // The most that a kernel was set up for, for each device: attributes belong to its context.
  static std::mutex mutex;
  static std::map<std::pair<int, const void*>, std::size_t> known;
  int device = 0;
  cudaGetDevice(&device);
  const std::lock_guard lock(mutex);
  static std::map<std::pair<int, const void*>, bool> in_clusters;
  const auto entry = known.try_emplace({device, kernel}, 48 * 1024).first;
  bool& clustered = in_clusters[{device, kernel}];
  if (clusters && !std::exchange(clustered, true) && !check(cudaFuncSetAttribute(kernel, cudaFuncAttributeNonPortableClusterSizeAllowed, 1), name)) return false;
  if (shared <= entry->second) return true;
  if (!check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared)), name)) return false;
  entry->second = shared;
  return true;
}

int device_count() {
  int driver = 0;
  int count = 0;
  if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0) {
    cudaGetLastError();
    last_text = "no NVIDIA driver on this machine";
    return 0;
  }
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error != cudaSuccess) {
    cudaGetLastError();
    last_text = std::string("no usable NVIDIA GPU: ") + cudaGetErrorString(error);
    return 0;
  }
  if (count == 0) last_text = "no NVIDIA GPU on this machine";
  return count;
}

bool device_info(DeviceInfo* out, int device) {
  cudaDeviceProp properties{};
  if (!check(cudaGetDeviceProperties(&properties, device), "device properties")) return false;
  std::snprintf(out->name, sizeof out->name, "%.*s", static_cast<int>(sizeof out->name) - 1, properties.name);
  out->major = properties.major;
  out->minor = properties.minor;
  out->multiprocessors = properties.multiProcessorCount;
  out->memory_bytes = properties.totalGlobalMem;
  out->l2_bytes = static_cast<std::size_t>(properties.l2CacheSize);
  int current = 0;
  std::size_t total = 0;
  if (!check(cudaGetDevice(&current), "current device") || !check(cudaSetDevice(device), "choosing the device")) return false;
  const bool known = check(cudaMemGetInfo(&out->free_bytes, &total), "free memory");
  return check(cudaSetDevice(current), "choosing the device") && known;
}

bool use_device(int device) {
  if (!check(cudaSetDevice(device), "choosing the device")) return false;
  if (!check(cudaFree(nullptr), "starting the device")) return false;
  if (has_code_for_device()) return true;
  cudaDeviceProp properties{};
  cudaGetDeviceProperties(&properties, device);
  fail("the plug-in has no code for " + std::string(properties.name) + " (compute capability " + std::to_string(properties.major) + "." +
       std::to_string(properties.minor) + "): build it with -DLOOPD_CUDA_ARCHITECTURES=" + std::to_string(properties.major) + std::to_string(properties.minor));
  return false;
}

bool usable() {
  if (faulted()) return false;
  return check(cudaPeekAtLastError(), "the device");
}

const char* last_error() {
  faulted();
  return last_text.c_str();
}

void clear_error() {
  cudaGetLastError();
  operation_failed = false;
  last_text.clear();
}

void* device_alloc(std::size_t bytes) {
  void* memory = nullptr;
  const cudaError_t error = cudaMalloc(&memory, bytes);
  if (error == cudaSuccess) return memory;
  std::size_t free_bytes = 0, total = 0;
  cudaGetLastError();
  cudaMemGetInfo(&free_bytes, &total);
  check(error, ("allocating " + std::to_string(bytes >> 20) + " MiB on the GPU, " + std::to_string(free_bytes >> 20) + " MiB are free").c_str());
  operation_failed = false;  // the caller learns it from the null pointer
  return nullptr;
}

void device_free(void* memory) { check(cudaFree(memory), "freeing device memory"); }

void* host_alloc(std::size_t bytes) {
  void* memory = nullptr;
  return check(cudaMallocHost(&memory, bytes), "allocating pinned host memory") ? memory : nullptr;
}
void host_free(void* memory) { check(cudaFreeHost(memory), "freeing pinned host memory"); }

bool upload(Stream stream, void* device, const void* host, std::size_t bytes) {
  return check(cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, native(stream)), "copying to the GPU");
}
bool download(Stream stream, void* host, const void* device, std::size_t bytes) {
  return check(cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, native(stream)), "copying from the GPU");
}
bool copy(Stream stream, void* to, const void* from, std::size_t bytes) {
  return check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, native(stream)), "copying on the GPU");
}
bool fill(Stream stream, void* device, int byte, std::size_t bytes) {
  return check(cudaMemsetAsync(device, byte, bytes, native(stream)), "filling device memory");
}

Stream stream_create() {
  cudaStream_t stream = nullptr;
  return check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "creating a stream") ? reinterpret_cast<Stream>(stream) : nullptr;
}
void stream_destroy(Stream stream) { check(cudaStreamDestroy(native(stream)), "destroying a stream"); }

bool sync(Stream stream) {
  const bool finished = check(cudaStreamSynchronize(native(stream)), "waiting for the GPU");
  return !operation_failed.exchange(false) && finished;
}

bool graph_begin(Stream stream) {
  return check(cudaStreamBeginCapture(native(stream), cudaStreamCaptureModeThreadLocal), "recording a graph");
}

Graph graph_end(Stream stream) {
  cudaGraph_t recorded = nullptr;
  cudaGraphExec_t graph = nullptr;
  const bool whole = check(cudaStreamEndCapture(native(stream), &recorded), "recording a graph") && !operation_failed.exchange(false);
  const bool made = whole && check(cudaGraphInstantiate(&graph, recorded, 0), "making a graph");
  if (recorded) cudaGraphDestroy(recorded);
  return made ? reinterpret_cast<Graph>(graph) : nullptr;
}

bool graph_launch(Graph graph, Stream stream) {
  return check(cudaGraphLaunch(reinterpret_cast<cudaGraphExec_t>(graph), native(stream)), "launching a graph");
}
void graph_destroy(Graph graph) { check(cudaGraphExecDestroy(reinterpret_cast<cudaGraphExec_t>(graph)), "destroying a graph"); }

namespace {

// Two timing events a thread: mark() is for benchmarks, which run one at a time.
cudaEvent_t event(int which) {
  thread_local cudaEvent_t events[2] = {};
  if (!events[which]) check(cudaEventCreate(&events[which]), "creating an event");
  return events[which];
}

}  // namespace

bool mark(Stream stream, int which) { return check(cudaEventRecord(event(which & 1), native(stream)), "marking a time"); }

double elapsed_ms(Stream stream) {
  float ms = 0;
  return sync(stream) && check(cudaEventElapsedTime(&ms, event(0), event(1)), "reading a time") ? static_cast<double>(ms) : 0;
}

double measure_copy_bandwidth() {
  std::size_t free_bytes = 0, total = 0;
  if (!check(cudaMemGetInfo(&free_bytes, &total), "free memory")) return 0;
  const std::size_t bytes = std::min<std::size_t>(free_bytes / 4, std::size_t{1} << 31) & ~std::size_t{255};
  void* from = device_alloc(bytes);
  void* to = device_alloc(bytes);
  Stream stream = stream_create();
  double best = 0;
  if (from && to && stream && fill(stream, from, 0x5a, bytes)) {
    copy(stream, to, from, bytes);
    for (int run = 0; run < 10; ++run) {
      mark(stream, 0);
      copy(stream, to, from, bytes);
      mark(stream, 1);
      const double ms = elapsed_ms(stream);
      if (ms > 0) best = std::max(best, 2.0 * static_cast<double>(bytes) / (ms * 1e-3));
    }
  }
  if (from) device_free(from);
  if (to) device_free(to);
  if (stream) stream_destroy(stream);
  return best;
}

}  // namespace cuda
