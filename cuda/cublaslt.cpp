// Opens cuBLASLt and keeps the plan of every shape that was multiplied before.
#include "cuda/cublaslt.h"

#include <cublasLt.h>
#include <dlfcn.h>

#include <cstdlib>
#include <map>
#include <mutex>
#include <string>
#include <tuple>

#include "cuda/runtime.h"
#include "cuda/table.h"

namespace cuda {
namespace {

struct Library {
  decltype(&cublasLtCreate) create = nullptr;
  decltype(&cublasLtMatmul) matmul = nullptr;
  decltype(&cublasLtMatmulDescCreate) describe = nullptr;
  decltype(&cublasLtMatmulDescSetAttribute) set_attribute = nullptr;
  decltype(&cublasLtMatrixLayoutCreate) layout = nullptr;
  decltype(&cublasLtMatmulPreferenceCreate) preference = nullptr;
  decltype(&cublasLtMatmulPreferenceSetAttribute) set_preference = nullptr;
  decltype(&cublasLtMatmulAlgoGetHeuristic) heuristic = nullptr;
  cublasLtHandle_t handle = nullptr;
  std::string why;  // not empty: it cannot be used
};

template <typename Function>
bool find(void* library, Function& function, const char* name) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  return function != nullptr;
}

Library open() {
  Library lt;
  const char* chosen = std::getenv("LOOPD_CUBLASLT");
  const char* places[] = {chosen ? chosen : "libcublasLt.so.13", "libcublasLt.so.13", "/usr/local/cuda/lib64/libcublasLt.so.13"};
  void* library = nullptr;
  for (const char* place : places) {
    library = library ? library : dlopen(place, RTLD_NOW | RTLD_LOCAL);
  }
  if (!library) {
    lt.why = "prefill needs libcublasLt.so.13 (CUDA 13); install it or name it in LOOPD_CUBLASLT";
    return lt;
  }
  const bool whole = find(library, lt.create, "cublasLtCreate") && find(library, lt.matmul, "cublasLtMatmul") && find(library, lt.describe, "cublasLtMatmulDescCreate") &&
                     find(library, lt.set_attribute, "cublasLtMatmulDescSetAttribute") && find(library, lt.layout, "cublasLtMatrixLayoutCreate") &&
                     find(library, lt.preference, "cublasLtMatmulPreferenceCreate") && find(library, lt.set_preference, "cublasLtMatmulPreferenceSetAttribute") &&
                     find(library, lt.heuristic, "cublasLtMatmulAlgoGetHeuristic");
  if (!whole) {
    lt.why = "libcublasLt.so.13 lacks a function that prefill needs";
  } else if (lt.create(&lt.handle) != CUBLAS_STATUS_SUCCESS) {
    lt.why = "cuBLASLt does not start on this GPU";
  }
  return lt;
}

const Library& library() {
  static const Library lt = open();
  return lt;
}

// A product of one shape: column-major out^T [outputs x rows] = weights^T-of-columns * x, which is our row-major product.
struct Plan {
  cublasLtMatmulDesc_t operation = nullptr;
  cublasLtMatrixLayout_t weights = nullptr, x = nullptr, out = nullptr;
  cublasLtMatmulAlgo_t algorithm{};
  bool found = false;
};

Plan make_plan(const Library& lt, Type out_type, int rows, int outputs, int depth) {
  Plan plan;
  const cublasOperation_t transposed = CUBLAS_OP_T;
  const cudaDataType_t type = out_type == Type::f32 ? CUDA_R_32F : CUDA_R_16BF;
  const auto u = [](int n) { return static_cast<uint64_t>(n); };
  cublasLtMatmulPreference_t preference = nullptr;
  const std::size_t workspace = kCublasWorkspace;
  cublasLtMatmulHeuristicResult_t result{};
  int results = 0;
  plan.found = lt.describe(&plan.operation, CUBLAS_COMPUTE_32F, CUDA_R_32F) == CUBLAS_STATUS_SUCCESS &&
               lt.set_attribute(plan.operation, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof transposed) == CUBLAS_STATUS_SUCCESS &&
               lt.layout(&plan.weights, CUDA_R_16BF, u(depth), u(outputs), depth) == CUBLAS_STATUS_SUCCESS &&
               lt.layout(&plan.x, CUDA_R_16BF, u(depth), u(rows), depth) == CUBLAS_STATUS_SUCCESS &&
               lt.layout(&plan.out, type, u(outputs), u(rows), outputs) == CUBLAS_STATUS_SUCCESS &&
               lt.preference(&preference) == CUBLAS_STATUS_SUCCESS &&
               lt.set_preference(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof workspace) == CUBLAS_STATUS_SUCCESS &&
               lt.heuristic(lt.handle, plan.operation, plan.weights, plan.x, plan.out, plan.out, preference, 1, &result, &results) == CUBLAS_STATUS_SUCCESS && results > 0;
  plan.algorithm = result.algo;
  return plan;
}

}  // namespace

bool prefill_ready() {
  if (library().why.empty()) return true;
  fail(library().why);
  return false;
}

void cublas_product(Stream stream, void* out, Type out_type, const void* x, const void* weights, int rows, int outputs, int depth, bool accumulate, void* workspace) {
  if (!prefill_ready()) return;
  const Library& lt = library();
  static std::mutex mutex;
  static std::map<std::tuple<int, int, int, int, int>, Plan> plans;  // never freed: a model has a few dozen shapes
  int device = 0;
  cudaGetDevice(&device);
  Plan plan;
  {
    const std::lock_guard lock(mutex);
    Plan& entry = plans[{device, static_cast<int>(out_type), rows, outputs, depth}];
    if (!entry.found) entry = make_plan(lt, out_type, rows, outputs, depth);
    plan = entry;
  }
  const float one = 1, beta = accumulate ? 1.0f : 0.0f;
  const cublasStatus_t status =
      plan.found ? lt.matmul(lt.handle, plan.operation, &one, weights, plan.weights, x, plan.x, &beta, out, plan.out, out, plan.out, &plan.algorithm, workspace, kCublasWorkspace, native(stream))
                 : CUBLAS_STATUS_NOT_SUPPORTED;
  if (status != CUBLAS_STATUS_SUCCESS) {
    fail("cuBLASLt refused " + std::to_string(rows) + " x " + std::to_string(outputs) + " x " + std::to_string(depth) + " (status " + std::to_string(static_cast<int>(status)) + ")");
  }
}

}  // namespace cuda
