// Plans a whole loop as one kernel: who has which part of every matrix, and what shared memory holds.
#include "cuda/pass.h"

#include <algorithm>
#include <cstdlib>
#include <string>

#include "cuda/layout.h"
#include "cuda/runtime.h"
#include "cuda/table.h"

namespace cuda {
namespace {

// What was measured to win (bench/cuda.md): with chunks of how many tiles, and up to how many rows.
constexpr int kChunk = 4;
constexpr int kSmallChunk = 2;  // where weights stay in L2 and a warp has a tile or two
constexpr int kGridRows = 8;
constexpr int kStaticBytes = 16 * 1024;  // of the kernel's own shared arrays, rounded up

int number(const char* name, int otherwise) {
  const char* text = std::getenv(name);
  return text ? std::atoi(text) : otherwise;
}

const Matrix& matrix_of(const PassLayer& layer, int which) { return which == 0 ? layer.qkv : which == 1 ? layer.o : which == 2 ? layer.gate_up : layer.down; }

std::size_t align(std::size_t bytes) { return (bytes + 255) / 256 * 256; }

struct Plan {
  bool possible = false;
  PassArguments p{};
  std::size_t at_qkv = 0, at_parts = 0, at_mixed = 0, at_inner = 0, at_partial = 0, at_after_o = 0, at_after_down = 0, end = 0;  // into the workspace
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
  p.members = limits().multiprocessors;
  if (2 * heads.kv_heads > p.members) return plan;  // or a block would have more units of attention than it can note
  p.paired = limits().clusters && p.members % 2 == 0 && count > 4 && std::getenv("LOOPD_PASS_ALONE") == nullptr;
  p.layer_count = shape.layers, p.count = count, p.width = shape.width, p.window = shape.window, p.eps = shape.eps;
  p.shape = heads, p.rope = reinterpret_cast<const float2*>(shape.rope);

  // Shared memory of a block: x, the sums, and what is left for weights on their way.
  const int column_tiles = count <= 4 ? 1 : 2;
  const auto group = static_cast<std::size_t>(heads.heads / heads.kv_heads);
  const auto dim = static_cast<std::size_t>(heads.head_dim);
  // Two pages with keys and values, which take turns with x. A single row's parts are brought there, too, so that there are as
  // many at most, whatever the number of rows and the type of the cache.
  const std::size_t room_for_parts = 4 * kPage * dim * 2;
  const std::size_t pages = layers[0].cache.type == Type::fp8 && count > 1 ? room_for_parts / 2 : room_for_parts;
  const int part = pass_part(heads.heads / heads.kv_heads, heads.head_dim);
  const int parts = std::min(p.members / heads.kv_heads, static_cast<int>(room_for_parts / sizeof(float)) / part);
  p.splits = std::clamp(parts - 1, 1, 63);  // and one part more for the window
  std::size_t columns = pages;
  const auto rows = static_cast<std::size_t>(count);
  std::size_t fixed = 0, squares = 0, before = 0, sums = 0;  // floats
  for (int m = 0; m < kPassMatrices; ++m) {
    const Matrix& matrix = matrix_of(layers[0], m);
    PassMatrix& out = p.matrix[m];
    out.row_tiles = row_tiles(matrix), out.k_tiles = k_tiles(matrix), out.outputs = matrix.rows, out.cols = matrix.cols, out.groups = groups(matrix);
    out.scales = tiles_bytes(matrix);
    out.group_shift = 31;
    for (int tiles = matrix.group / kTileCols, shift = 0; matrix.group != matrix.cols && tiles > 0; tiles /= 2) out.group_shift = shift++;
    // Only down's columns are cut: the others' norms want whole rows.
    out.splits = m == 3 ? ceil_div(out.k_tiles, 80) : 1;
    out.ranges = std::min(out.row_tiles, out.splits == 1 ? p.members : p.members / 2 / out.splits * 2);
    if (out.ranges < 1) return plan;
    if (ceil_div(out.row_tiles, out.ranges) > kPassShareRows) return plan;
    const int slice = ceil_div(out.k_tiles, out.splits);
    const auto most_rows = static_cast<std::size_t>(ceil_div(out.row_tiles, out.ranges));
    columns = std::max(columns, 2 * rows * static_cast<std::size_t>((slice * kTileCols) | 64));
    fixed = std::max(fixed, static_cast<std::size_t>(slice * 8 * column_tiles));
    squares = std::max(squares, rows * static_cast<std::size_t>(ceil_div(slice * kTileCols, kStagePiece)));
    before = std::max(before, rows * most_rows * 16);
    sums = std::max(sums, rows * (most_rows + kPassWarps - 1) * 16);
  }
  // With marks every block has a part of gate_up, so that whoever is done knows that all have begun.
  p.marked = count == 1 && p.matrix[2].row_tiles >= p.members && std::getenv("LOOPD_PASS_MEET") == nullptr;
  p.streams = static_cast<long long>(p.matrix[2].row_tiles) * p.matrix[2].k_tiles * p.layer_count > 65536;
  p.squares_from_bias = static_cast<int>(align(fixed * sizeof(float)) / sizeof(float));
  p.before_from_bias = p.squares_from_bias + static_cast<int>(align(squares * sizeof(float)) / sizeof(float));
  const std::size_t bias = static_cast<std::size_t>(p.before_from_bias) * sizeof(float) + align(before * sizeof(float));
  sums = align(sums * sizeof(float));
  const auto room = static_cast<std::size_t>(std::max(0, limits().shared_bytes - kStaticBytes));
  // Few large chunks where there is room; a warp needs two to fetch one while it uses the other.
  p.chunk = std::max(1, number("LOOPD_PASS_CHUNK", p.streams ? kChunk : kSmallChunk));
  const auto ring_bytes = [&] { return static_cast<std::size_t>(kPassWarps * p.chunk) * 544; };
  // Attention's scratch lies behind the pages, over what else products use. Rows share visits as far as two chunks remain.
  const std::size_t products = align(columns) + bias + sums;
  const auto attention = [&] { return pages + align(pass_scratch(dim, static_cast<std::size_t>(ceil_div(p.visit_rows * static_cast<int>(group), kColumnTile)))); };
  p.visit_rows = std::min(count, visit_tiles(heads.head_dim, column_tiles) * kColumnTile / static_cast<int>(group));
  while (p.visit_rows > 1 && attention() > std::max(products, room - std::min(room, 2 * ring_bytes()))) --p.visit_rows;
  const std::size_t other = std::max(products, attention());
  while (p.chunk > 1 && other + 2 * ring_bytes() > room) p.chunk /= 2;
  if (other + ring_bytes() > room) return plan;
  p.stages = static_cast<int>(std::min<std::size_t>((room - other) / ring_bytes(), static_cast<std::size_t>(std::min(kPassStages, number("LOOPD_PASS_STAGES", kPassStages)))));
  p.columns_at = static_cast<int>(align(static_cast<std::size_t>(p.stages) * ring_bytes()));
  p.scratch_at = p.columns_at + static_cast<int>(pages);
  p.bias_at = p.columns_at + static_cast<int>(align(columns));
  p.sums_at = p.bias_at + static_cast<int>(bias);
  plan.shared = static_cast<std::size_t>(p.columns_at) + other;

  // For the most rows, and behind them for a single one with marks: what lies there must be of the layer before.
  const std::size_t before_row = p.marked ? kMaxPassRows : 0;
  plan.end = kWorkspaceCounters + align(static_cast<std::size_t>(shape.layers) * sizeof(PassLayer));
  const auto place = [&](std::size_t& at, int floats) {
    const std::size_t row = align(static_cast<std::size_t>(floats) * sizeof(float));
    at = plan.end + before_row * row;
    plan.end += (kMaxPassRows + 1) * row;
  };
  place(plan.at_qkv, (heads.heads + 2 * heads.kv_heads) * heads.head_dim);
  place(plan.at_parts, heads.kv_heads * (p.splits + 1) * part);
  place(plan.at_mixed, heads.heads * heads.head_dim);
  place(plan.at_inner, shape.inner);
  place(plan.at_partial, p.matrix[3].splits * shape.width);
  place(plan.at_after_o, shape.width);
  place(plan.at_after_down, shape.width);
  plan.possible = true;
  return plan;
}

}  // namespace

int pass_rows(const PassShape& shape, const PassLayer* layers) {
  if (!plan(shape, layers, 1).possible || !plan(shape, layers, kMaxPassRows).possible) return 0;
  return std::clamp(number("LOOPD_PASS_ROWS", kGridRows), 1, kMaxPassRows);
}

std::size_t pass_workspace(const PassShape& shape, const PassLayer* layers) {
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
  p.after_o = floats(made.at_after_o), p.after_down = floats(made.at_after_down);
  p.rows = rows;
  p.clocks = std::getenv("LOOPD_PASS_CLOCKS") ? reinterpret_cast<long long*>(base + kPassClocksAt) : nullptr;
  const int column_tiles = count <= 4 ? 1 : 2;
  const auto kernels = shape.heads.head_dim == 64 ? pass_64 : pass_128;
  const PassKernel kernel = kernels(column_tiles, layers[0].cache.type, p.clocks != nullptr, p.marked);
  const dim3 grid(static_cast<unsigned>(p.members)), block(kPassThreads);
  launch_cooperative("pass", stream, kernel, grid, block, made.shared, p.paired ? 2 : 0, p);
}

}  // namespace cuda
