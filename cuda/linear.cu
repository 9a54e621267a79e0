// Plans a decode product: how K and the rows are shared among blocks, for the device and matrix at hand.
#include <algorithm>
#include <string>

#include "cuda/layout.h"
#include "cuda/linear.h"
#include "cuda/runtime.h"
#include "cuda/table.h"

namespace cuda {
namespace {

// Columns of x a block can hold at 8 rows as hi + lo, 32 bytes a column, beside the warps' sums.
int slice_limit() { return limits().shared_bytes >= 220 * 1024 ? 5120 : limits().shared_bytes >= 160 * 1024 ? 3584 : 2048; }

int splits_of(const Matrix& m) { return ceil_div(m.cols, slice_limit()); }

// Warps of a block: one for every tile of K as long as there are few.
int warps_of(const Matrix& m) { return std::clamp(k_tiles(m) / splits_of(m), 4, 16); }

std::size_t columns_bytes(const Matrix& m, int columns) {
  const int slice = ceil_div(k_tiles(m), splits_of(m)) * kTileCols;
  return static_cast<std::size_t>(columns) * static_cast<std::size_t>(slice + 32) * 2;
}

std::size_t sums_bytes(const Matrix& m, int rows, int tiles) {
  return static_cast<std::size_t>(warps_of(m)) * static_cast<std::size_t>(rows) * static_cast<std::size_t>(tiles * 16 + 8) * sizeof(float);
}

// Row tiles that a block of many takes at once (Kind<P>::tiles).
int tiles_of(Packed packed) {
  switch (packed) {
    case Packed::int4:
    case Packed::int4_zeros: return 4;
    case Packed::int8:
    case Packed::bf16: return 2;
    case Packed::pair: return 1;
  }
  return 1;
}

LinearKernel kernel_of(Packed packed, Flavour flavour, int column_tiles) {
  switch (packed) {
    case Packed::int4: return linear_int4(flavour, column_tiles);
    case Packed::int4_zeros: return linear_int4_zeros(flavour, column_tiles);
    case Packed::int8: return linear_int8(flavour, column_tiles);
    case Packed::bf16: return linear_bf16(flavour, column_tiles);
    case Packed::pair: return linear_pair(flavour, column_tiles);
  }
  return nullptr;
}

}  // namespace

std::size_t linear_workspace(const Matrix& m, int rows) {
  const int splits = splits_of(m);
  if (splits == 1) return kWorkspaceCounters;
  return kWorkspaceCounters + static_cast<std::size_t>(splits) * static_cast<std::size_t>(rows) * static_cast<std::size_t>(row_tiles(m)) * 16 * sizeof(float);
}

void linear(Stream stream, float* out, const float* x, const Gain& gain, const Matrix& m, int rows, float eps, Epilogue epilogue,
            const int* loop, const Workspace& workspace) {
  if (rows < 1 || rows > kMaxDecodeRows) return fail("linear: " + std::to_string(rows) + " rows; it takes 1 to 16");
  const Limits& device = limits();
  LinearArguments p{};
  p.out = out, p.x = x, p.gain = gain, p.loop = loop, p.rows = rows, p.eps = eps, p.epilogue = epilogue;
  p.data = static_cast<const unsigned char*>(m.data);
  p.scales = p.data + tiles_bytes(m);
  p.zeros = reinterpret_cast<const uint32_t*>(p.data + tiles_bytes(m) + scales_bytes(m));
  p.cols = m.cols, p.outputs = m.rows, p.row_tiles = row_tiles(m), p.k_tiles = k_tiles(m);
  p.groups = groups(m);
  const bool halves = m.group == 32 && m.group != m.cols;
  p.group_shift = 31;  // one group a row
  for (int tiles = m.group / kTileCols, shift = 0; m.group != m.cols && tiles > 0; tiles /= 2) p.group_shift = shift++;

  p.splits = splits_of(m);
  const int tiles = tiles_of(m.packed);
  const int most = std::max(1, device.multiprocessors / p.splits);
  Flavour flavour = halves ? Flavour::halves : p.row_tiles >= 2 * most && tiles > 1 ? Flavour::many : Flavour::few;
  // x as hi + lo where it fits; one bf16 otherwise, which is said in plugin.h. Up to 8 rows it always fits.
  const auto shared_for = [&](bool exact, Flavour f) { return columns_bytes(m, exact ? 2 * rows : rows) + sums_bytes(m, rows, f == Flavour::many ? tiles : 1); };
  const auto limit = static_cast<std::size_t>(device.shared_bytes) - 2048;
  p.exact = shared_for(true, Flavour::few) <= limit;
  if (flavour == Flavour::many && shared_for(p.exact, flavour) > limit) flavour = Flavour::few;
  const std::size_t shared = shared_for(p.exact, flavour);
  if (shared > limit) return fail("linear: " + std::to_string(m.cols) + " columns at " + std::to_string(rows) + " rows do not fit this GPU's shared memory");
  p.columns_bytes = static_cast<int>(columns_bytes(m, p.exact ? 2 * rows : rows));
  // Blocks that fit beside each other do better than one that takes turns.
  const bool pairs = flavour == Flavour::few && shared < 64 * 1024 && p.row_tiles <= 2 * most;
  p.ranges = std::min(p.row_tiles, pairs ? 2 * most : most);
  if (p.splits > 1) {
    if (workspace.bytes < linear_workspace(m, rows)) return fail("linear: its workspace is too small");
    p.counters = static_cast<unsigned*>(workspace.data);
    p.partial = reinterpret_cast<float*>(static_cast<unsigned char*>(workspace.data) + kWorkspaceCounters);
  }
  // About 96 KiB a block, 12 MiB in all: what memory delivers while a kernel starts and x is staged.
  const int slice_bytes = ceil_div(p.k_tiles, p.splits) * tile_bytes(m.packed);
  p.prefetch_tiles = std::max(1, 96 * 1024 / slice_bytes);
  const int column_tiles = ceil_div(p.exact ? 2 * rows : rows, 8);
  launch("linear", stream, kernel_of(m.packed, flavour, column_tiles), dim3(static_cast<unsigned>(p.splits * p.ranges)),
         dim3(static_cast<unsigned>(warps_of(m) * 32)), shared, p);
}

}  // namespace cuda
