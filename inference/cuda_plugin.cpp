// Opens the plug-in at run time, so that one binary starts in milliseconds with or without a GPU.
#include "inference/cuda_plugin.h"

#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <vector>

#include "inference/one_line.h"

namespace inference {
namespace {

namespace fs = std::filesystem;

std::string find_plugin() {
  const char* named = std::getenv("LOOPD_CUDA_PLUGIN");
  std::error_code ignored;
  if (named && *named) {
    if (!fs::exists(named, ignored)) throw one_line_error(std::string("LOOPD_CUDA_PLUGIN: there is no file ") + named);
    return named;
  }
  const fs::path folder = fs::read_symlink("/proc/self/exe", ignored).parent_path();
  for (const fs::path& place : {folder / "libloopd_cuda.so", folder / "../lib/loopd/libloopd_cuda.so"}) {
    if (fs::exists(place, ignored)) return place.lexically_normal().string();
  }
  throw one_line_error("no CUDA plug-in: there is no " + (folder / "libloopd_cuda.so").string());
}

}  // namespace

CudaPlugin open_cuda_plugin() {
  CudaPlugin plugin;
  plugin.path = find_plugin();
  void* library = dlopen(plugin.path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) throw one_line_error(plugin.path + ": cannot be opened: " + dlerror());
  using Entry = const cuda::Api* (*)(int);
  const auto entry = reinterpret_cast<Entry>(dlsym(library, cuda::kEntryPoint));
  if (!entry) throw one_line_error(plugin.path + ": is no loopd plug-in: it has no symbol " + cuda::kEntryPoint);
  plugin.api = entry(cuda::kVersion);
  if (!plugin.api) throw one_line_error(plugin.path + ": is of another version than this loopd; build both from one checkout");
  const cuda::Api& api = *plugin.api;
  const auto reason = [&api](const char* otherwise) {
    const std::string text = api.last_error();
    return text.empty() ? std::string(otherwise) : text;
  };
  if (api.device_count() == 0) throw one_line_error(reason("no CUDA device"));
  if (!api.device_info(&plugin.device, 0) || !api.use_device(0)) throw one_line_error(reason("the CUDA device cannot be used"));
  return plugin;
}

void throw_cuda(const cuda::Api& api, const std::string& what) {
  const std::string text = "CUDA: " + what + ": " + api.last_error();
  if (!api.usable()) throw DeviceLost(text);
  api.clear_error();
  throw std::runtime_error(text);
}

}  // namespace inference
