// Launches decode attention.
#include "cuda/attention.h"

#include <algorithm>
#include <string>

#include "cuda/runtime.h"
#include "cuda/table.h"

namespace cuda {

std::size_t attention_workspace(const HeadShape& shape, int rows, int splits) {
  const auto part = static_cast<std::size_t>(shape.heads) * static_cast<std::size_t>(shape.head_dim + 2);
  return kWorkspaceCounters + static_cast<std::size_t>(rows) * static_cast<std::size_t>(splits + 1) * part * sizeof(float);
}

void attention(Stream stream, float* out, const float* qkv, const KvCache& cache, const Gain& gate_weight, const Gain& gate_bias, const Rows& rows,
               int count, const HeadShape& shape, int window, int splits, const Workspace& workspace) {
  const int group = shape.heads / shape.kv_heads;
  AttentionKernel kernel = nullptr;
  if (shape.head_dim % 8 == 0 && shape.head_dim <= 128 && group * shape.kv_heads == shape.heads) {
    kernel = cache.type == Type::bf16 ? attention_bf16(group, shape.head_dim) : attention_fp8(group, shape.head_dim);
  }
  if (!kernel || splits < 1 || splits > 64 || count > kMaxDecodeRows) {
    return fail("attention: no kernel for " + std::to_string(shape.heads) + " heads over " + std::to_string(shape.kv_heads) + " of " +
                std::to_string(shape.head_dim) + " at " + std::to_string(count) + " rows");
  }
  if (workspace.bytes < attention_workspace(shape, count, splits)) return fail("attention: its workspace is too small");
  AttentionArguments p{};
  p.out = out, p.qkv = qkv, p.keys = cache.keys, p.values = cache.values, p.gate_weight = gate_weight, p.gate_bias = gate_bias;
  p.counters = static_cast<unsigned*>(workspace.data);
  p.parts = reinterpret_cast<float*>(static_cast<unsigned char*>(workspace.data) + kWorkspaceCounters);
  p.rows = rows, p.shape = shape, p.window = window, p.splits = splits;
  // A cluster has at most 16 blocks, the window's among them.
  p.clustered = limits().clusters;
  const int cluster = splits > 7 ? 16 : 8;
  if (p.clustered) p.splits = std::min(splits, cluster - 1);
  // Without gates no row is in a loop that mixes: the window's blocks stay out.
  const int blocks = p.clustered ? cluster : splits + (gate_weight.data ? 1 : 0);
  launch_clusters("attention", stream, kernel, dim3(static_cast<unsigned>(blocks), static_cast<unsigned>(shape.kv_heads), static_cast<unsigned>(count)), dim3(128), 0,
                  p.clustered ? cluster : 0, p);
}

}  // namespace cuda
