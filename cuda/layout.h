// Where a weight lies in a packed matrix: tiles of 16 rows by 64 columns in the order of the tensor cores' fragments.
//
// A decode step multiplies with mma.m16n8k16, the weights as its 16 x 16 operand. A lane of that instruction holds rows
// g = lane / 4 and g + 8, and four columns. Which columns is free as long as the other operand agrees, so each lane takes
// columns that are neighbours in memory there: in a tile of 64, halves of 32, of which lane % 4 = t owns [8t, 8t + 8),
// which are two steps of four. A warp then reads a tile of int4 weights as one 16-byte load a lane, without waste:
//
//   tile (row / 16, col / 64) at index (row / 16) * k_tiles + col / 64
//   int4  512 bytes  [lane][step: 4 bytes], element (reg, e) in nibble reg + 4 e: (word >> 4 reg) & 0x000f000f is a register
//   int8 1024 bytes  [step / 2][lane][step % 2: 8 bytes], element (reg, e) in byte reg / 2 * 4 + reg % 2 + 2 e
//   bf16 2048 bytes  [step][lane][reg: 4 bytes], element e in half e;  pair: such a tile of hi, then one of lo
//
// After all tiles come the scales, for rows (g, g + 8) side by side: int4 [row / 16][group][8] half pairs, int8 float
// pairs; int4_zeros then has [row / 16][group][8] pairs of bfloat16(128 + zero).
#pragma once

#include <cstddef>

#include "cuda/plugin.h"

#ifdef __CUDACC__
#define LOOPD_BOTH __host__ __device__ __forceinline__
#else
#define LOOPD_BOTH inline
#endif

namespace cuda {

constexpr int kTileRows = 16;
constexpr int kTileCols = 64;

LOOPD_BOTH constexpr int ceil_div(int a, int b) { return (a + b - 1) / b; }
LOOPD_BOTH constexpr int row_tiles(const Matrix& m) { return ceil_div(m.rows, kTileRows); }
LOOPD_BOTH constexpr int k_tiles(const Matrix& m) { return ceil_div(m.cols, kTileCols); }
LOOPD_BOTH constexpr int groups(const Matrix& m) { return m.group > 0 ? m.cols / m.group : 0; }

LOOPD_BOTH constexpr int tile_bytes(Packed packed) {
  switch (packed) {
    case Packed::int4:
    case Packed::int4_zeros: return 512;
    case Packed::int8: return 1024;
    case Packed::bf16: return 2048;
    case Packed::pair: return 4096;
  }
  return 0;
}

LOOPD_BOTH constexpr std::size_t tiles_bytes(const Matrix& m) {
  return static_cast<std::size_t>(row_tiles(m)) * static_cast<std::size_t>(k_tiles(m)) * static_cast<std::size_t>(tile_bytes(m.packed));
}
LOOPD_BOTH constexpr std::size_t scales_bytes(const Matrix& m) {
  const std::size_t pairs = static_cast<std::size_t>(row_tiles(m)) * static_cast<std::size_t>(groups(m)) * 8;
  return pairs * (m.packed == Packed::int8 ? 8 : 4);
}

// Place of a weight within its tile: step (0..3), lane, register (0..3) and element (0..1) of the fragment.
struct Place {
  int lane, step, reg, element;
};
LOOPD_BOTH constexpr Place place(int row, int col) {
  const int r = row % kTileRows;
  const int c = col % kTileCols;
  const int j = c % 8;  // column within the lane's eight
  return {r % 8 * 4 + c % 32 / 8, c / 32 * 2 + j / 4, j % 4 / 2 * 2 + r / 8, j % 2};
}

// Byte of a weight from the start of the data; for int4 also the nibble. For pair, that of hi; lo is 2048 further.
struct Address {
  std::size_t byte;
  int nibble;
};
LOOPD_BOTH constexpr Address address(const Matrix& m, int row, int col) {
  const Place p = place(row, col);
  const std::size_t tile = static_cast<std::size_t>(row / kTileRows) * static_cast<std::size_t>(k_tiles(m)) + static_cast<std::size_t>(col / kTileCols);
  const std::size_t start = tile * static_cast<std::size_t>(tile_bytes(m.packed));
  switch (m.packed) {
    case Packed::int4:
    case Packed::int4_zeros: {
      const int nibble = p.reg + 4 * p.element;
      return {start + static_cast<std::size_t>(p.lane * 16 + p.step * 4 + nibble / 2), nibble % 2};
    }
    case Packed::int8:
      return {start + static_cast<std::size_t>(p.step / 2 * 512 + p.lane * 16 + p.step % 2 * 8 + p.reg / 2 * 4 + p.reg % 2 + 2 * p.element), 0};
    default: return {start + static_cast<std::size_t>(p.step * 512 + p.lane * 16 + p.reg * 4 + p.element * 2), 0};
  }
}

// Index of the scale (and zero) of (row, group): pairs [row / 16][group][row % 8][row / 8 % 2].
LOOPD_BOTH constexpr std::size_t scale_index(const Matrix& m, int row, int group) {
  const std::size_t pair = (static_cast<std::size_t>(row / kTileRows) * static_cast<std::size_t>(groups(m)) + static_cast<std::size_t>(group)) * 8;
  return (pair + static_cast<std::size_t>(row % 8)) * 2 + static_cast<std::size_t>(row / 8 % 2);
}

// Row of `out` where row r of a raw matrix goes.
LOOPD_BOTH constexpr int packed_row(RowOrder order, int first_row, int r) {
  if (order == RowOrder::plain) return first_row + r;
  return (first_row + r) / 8 * 16 + (order == RowOrder::up ? 8 : 0) + (first_row + r) % 8;
}

// Whether the kernels can apply scales of this group: 32, 64 times a power of two, or one a row.
LOOPD_BOTH constexpr bool group_fits(int group, int cols) {
  if (group == cols || group == 32) return cols % group == 0;
  const int tiles = group / 64;
  return group > 0 && group % 64 == 0 && (tiles & (tiles - 1)) == 0 && cols % group == 0;
}

}  // namespace cuda
