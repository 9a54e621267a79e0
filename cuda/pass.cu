// Plans a whole loop as one kernel: who has which part of every matrix, and what shared memory holds.
#include "cuda/pass.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>

#include "cuda/layout.h"
#include "cuda/runtime.h"
#include "cuda/table.h"

namespace cuda {
namespace {

constexpr int kClusterBlocks = 16;
// Below this many bytes a layer, one cluster has done its products before blocks all over the device have met.
constexpr std::size_t kClusterBytes = std::size_t{16} << 20;
// What was measured to win (bench/cuda.md): where, with chunks of how many tiles, and up to how many rows.
constexpr bool kOnCluster = false;
constexpr bool kOnGrid = true;
constexpr int kClusterChunk = 4;
constexpr int kGridChunk = 4;
constexpr int kGridRows = 4;
constexpr int kStaticBytes = 14 * 1024;  // of the kernel's own shared arrays, rounded up

int number(const char* name, int otherwise) {
  const char* text = std::getenv(name);
  return text ? std::atoi(text) : otherwise;
}

const Matrix& matrix_of(const PassLayer& layer, int which) { return which == 0 ? layer.qkv : which == 1 ? layer.o : which == 2 ? layer.gate_up : layer.down; }

std::size_t align(std::size_t bytes) { return (bytes + 255) / 256 * 256; }

struct Plan {
  bool possible = false;
  PassArguments p{};
  std::size_t at_qkv = 0, at_parts = 0, at_mixed = 0, at_inner = 0, at_partial = 0, end = 0;  // into the workspace
  std::size_t shared = 0;
};

bool fits(const PassShape& shape, const PassLayer* layers) {
  const HeadShape& heads = shape.heads;
  if (!limits().streams || shape.layers < 1 || shape.layers > kPassLayers) return false;
  if ((heads.head_dim != 64 && heads.head_dim != 128) || heads.heads % heads.kv_heads != 0 || heads.heads / heads.kv_heads > kMaxHeadGroup) return false;
  for (int i = 0; i < shape.layers; ++i) {
    for (int m = 0; m < kPassMatrices; ++m) {
      const Matrix& matrix = matrix_of(layers[i], m);
      if (matrix.packed != Packed::int4 || matrix.cols % kTileCols != 0 || matrix.group % kTileCols != 0 || matrix.group != matrix_of(layers[0], m).group) return false;
    }
  }
  return true;
}

// The plan for `count` rows; everything but what shared memory holds is the same for all counts.
Plan plan(const PassShape& shape, const PassLayer* layers, int count) {
  Plan plan;
  if (!fits(shape, layers)) return plan;
  const HeadShape& heads = shape.heads;
  PassArguments& p = plan.p;
  std::size_t layer_bytes = 0;
  for (int m = 0; m < kPassMatrices; ++m) layer_bytes += matrix_of(layers[0], m).bytes;
  const char* team = std::getenv("LOOPD_PASS_TEAM");
  p.clustered = limits().clusters && (team ? std::strcmp(team, "cluster") == 0 : layer_bytes < kClusterBytes);
  p.members = p.clustered ? kClusterBlocks : limits().multiprocessors;
  p.layer_count = shape.layers, p.count = count, p.width = shape.width, p.window = shape.window, p.eps = shape.eps;
  p.shape = heads, p.rope = reinterpret_cast<const float2*>(shape.rope);
  p.splits = std::clamp(p.members / heads.kv_heads - 1, 1, 63);  // and one block more for the window
  // Their factors lie where the sums do: at most 256 a row.
  p.merge_late = p.clustered && heads.heads * (p.splits + 1) <= kPassWarps * 16 && p.splits < 32;

  // Shared memory of a block: x, the sums, and what is left for weights on their way.
  const int column_tiles = count <= 4 ? 1 : 2;
  const auto group = static_cast<std::size_t>(heads.heads / heads.kv_heads);
  const auto dim = static_cast<std::size_t>(heads.head_dim);
  const std::size_t scratch = align((kMaxHeadGroup * dim + kPassWarps * kPassHeads * (dim + 2)) * sizeof(float) + 4 * dim);
  const std::size_t pages = 4 * kPage * dim * (layers[0].cache.type == Type::fp8 ? 1 : 2);  // two, with keys and values
  // A single row's pages come while its products use x; those of several rows take turns with x.
  std::size_t columns = scratch + (count == 1 ? 0 : pages);
  std::size_t bias = 0, sums = 0;
  for (int m = 0; m < kPassMatrices; ++m) {
    const Matrix& matrix = matrix_of(layers[0], m);
    PassMatrix& out = p.matrix[m];
    out.row_tiles = row_tiles(matrix), out.k_tiles = k_tiles(matrix), out.outputs = matrix.rows, out.cols = matrix.cols, out.groups = groups(matrix);
    out.scales = tiles_bytes(matrix);
    out.group_shift = 31;
    for (int tiles = matrix.group / kTileCols, shift = 0; matrix.group != matrix.cols && tiles > 0; tiles /= 2) out.group_shift = shift++;
    // Only down's columns are cut: the others' norms want whole rows.
    out.splits = m == 3 ? ceil_div(out.k_tiles, 80) : 1;
    out.ranges = std::min(out.row_tiles, p.members / out.splits);
    if (ceil_div(out.row_tiles, out.ranges) > kPassShareRows) return plan;
    const auto slice = static_cast<std::size_t>(ceil_div(out.k_tiles, out.splits)) * kTileCols;
    columns = std::max(columns, 2 * static_cast<std::size_t>(count) * (slice + 32) * 2);
    bias = std::max(bias, slice / kTileCols * 8 * static_cast<std::size_t>(column_tiles) * sizeof(float));
    sums = std::max(sums, static_cast<std::size_t>(ceil_div(out.row_tiles, out.ranges) + kPassWarps - 1) * static_cast<std::size_t>(count) * 16 * sizeof(float));
  }
  const auto room = static_cast<std::size_t>(std::max(0, limits().shared_bytes - kStaticBytes));
  const std::size_t other = align(columns) + (count == 1 ? pages : 0) + align(bias) + align(sums);
  // Few large chunks where there is room; a warp needs two to fetch one while it uses the other.
  p.chunk = number("LOOPD_PASS_CHUNK", p.clustered ? kClusterChunk : kGridChunk);
  const auto ring_bytes = [&] { return static_cast<std::size_t>(kPassWarps * p.chunk) * 544; };
  while (p.chunk > 1 && other + 2 * ring_bytes() > room) p.chunk /= 2;
  if (other + ring_bytes() > room) return plan;
  p.stages = static_cast<int>(std::min<std::size_t>((room - other) / ring_bytes(), static_cast<std::size_t>(std::min(kPassStages, number("LOOPD_PASS_STAGES", kPassStages)))));
  p.columns_at = static_cast<int>(align(static_cast<std::size_t>(p.stages) * ring_bytes()));
  p.pages_at = p.columns_at + static_cast<int>(count == 1 ? align(columns) : scratch);
  p.bias_at = p.columns_at + static_cast<int>(align(columns) + (count == 1 ? pages : 0));
  p.sums_at = p.bias_at + static_cast<int>(align(bias));
  plan.shared = static_cast<std::size_t>(p.sums_at) + align(sums);
  if (plan.shared > room) {
    --p.stages;
    if (p.stages < 1) return plan;
    const int less = static_cast<int>(align(static_cast<std::size_t>(p.stages) * ring_bytes())) - p.columns_at;
    p.columns_at += less, p.pages_at += less, p.bias_at += less, p.sums_at += less;
    plan.shared = static_cast<std::size_t>(static_cast<long long>(plan.shared) + less);
  }

  const auto rows = static_cast<std::size_t>(kMaxPassRows);
  const auto floats = [&](std::size_t n) { return align(n * sizeof(float)); };
  plan.at_qkv = kWorkspaceCounters + align(static_cast<std::size_t>(shape.layers) * sizeof(PassLayer));
  plan.at_parts = plan.at_qkv + floats(rows * static_cast<std::size_t>((heads.heads + 2 * heads.kv_heads) * heads.head_dim));
  plan.at_mixed = plan.at_parts + floats(rows * static_cast<std::size_t>(heads.kv_heads * (p.splits + 1)) * ((group * static_cast<std::size_t>(heads.head_dim + 3) + 3) / 4 * 4));
  plan.at_inner = plan.at_mixed + floats(rows * static_cast<std::size_t>(heads.heads * heads.head_dim));
  plan.at_partial = plan.at_inner + floats(rows * static_cast<std::size_t>(shape.inner));
  plan.end = plan.at_partial + (p.matrix[3].splits > 1 ? floats(rows * static_cast<std::size_t>(p.matrix[3].splits) * static_cast<std::size_t>(shape.width)) : 0);
  plan.possible = true;
  return plan;
}

}  // namespace

int pass_rows(const PassShape& shape, const PassLayer* layers) {
  const Plan most = plan(shape, layers, kMaxPassRows);
  if (!most.possible) return 0;
  return most.p.clustered ? kOnCluster ? kMaxPassRows : 0 : kOnGrid ? kGridRows : 0;
}

std::size_t pass_workspace(const PassShape& shape, const PassLayer* layers) {
  // The most rows need the most shared memory.
  const Plan most = plan(shape, layers, kMaxPassRows);
  return most.possible ? most.end : 0;
}

bool pass_prepare(Stream stream, const PassShape& shape, const PassLayer* layers, const Workspace& workspace) {
  const std::size_t needed = pass_workspace(shape, layers);
  if (needed == 0 || workspace.bytes < needed) {
    fail(needed == 0 ? "pass: there is no kernel for these weights on this GPU" : "pass: its workspace is too small");
    return false;
  }
  // Zeros: a barrier at rest, and rows that sit out read numbers.
  return fill(stream, workspace.data, 0, workspace.bytes) &&
         upload(stream, static_cast<unsigned char*>(workspace.data) + kWorkspaceCounters, layers, static_cast<std::size_t>(shape.layers) * sizeof(PassLayer));
}

void pass(Stream stream, float* hidden, const PassShape& shape, const PassLayer* layers, const Rows& rows, int count, const Workspace& workspace) {
  if (count < 1 || count > kMaxPassRows) return fail("pass: " + std::to_string(count) + " rows; it takes 1 to 8");
  Plan made = plan(shape, layers, count);
  if (!made.possible || workspace.bytes < made.end) return fail("pass: there is no kernel for these weights on this GPU, or its workspace is too small");
  PassArguments& p = made.p;
  auto* base = static_cast<unsigned char*>(workspace.data);
  const auto floats = [&](std::size_t at) { return reinterpret_cast<float*>(base + at); };
  p.hidden = hidden;
  p.barrier = reinterpret_cast<unsigned*>(base);
  p.layers = reinterpret_cast<const PassLayer*>(base + kWorkspaceCounters);
  p.qkv = floats(made.at_qkv), p.parts = floats(made.at_parts), p.mixed = floats(made.at_mixed), p.inner = floats(made.at_inner), p.partial = floats(made.at_partial);
  p.rows = rows;
  p.clocks = std::getenv("LOOPD_PASS_CLOCKS") ? reinterpret_cast<long long*>(base + kPassClocksAt) : nullptr;
  const int column_tiles = count <= 4 ? 1 : 2;
  const PassKernel kernel = shape.heads.head_dim == 64 ? pass_64(column_tiles, layers[0].cache.type) : pass_128(column_tiles, layers[0].cache.type);
  const dim3 grid(static_cast<unsigned>(p.members)), block(kPassThreads);
  if (p.clustered) {
    launch_clusters("pass", stream, kernel, grid, block, made.shared, kClusterBlocks, p);
  } else {
    launch_cooperative("pass", stream, kernel, grid, block, made.shared, p);
  }
}

}  // namespace cuda
