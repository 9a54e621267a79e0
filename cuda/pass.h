// Between pass.cu, which plans a whole loop as one kernel, and the kernels made per head size (pass_*.cu).
#pragma once

#include <cstddef>

#include "cuda/plugin.h"

namespace cuda {

constexpr int kPassWarps = 16;
constexpr int kPassThreads = kPassWarps * 32;
constexpr int kPassStages = 8;    // chunks of weights a warp may have on their way
constexpr int kPassLayers = 128;  // that fit the table of pointers in shared memory
constexpr int kPassMatrices = 4;  // in the order of use: qkv, o, gate_up, down
constexpr int kPassShareRows = 64;  // row tiles of a matrix that one block may have
constexpr int kStagePiece = 256;     // columns of x that a warp takes at once

// Steps of a layer that block 0 can time: of each matrix staging x, the product, its results and the barrier behind; then
// attending (merging included, where it comes last) and the barrier; and adding down's splits.
constexpr int kPassLaps = 19;
// Bytes into the workspace: the barrier comes first, then the clocks, and counters of parts: of attention, [row][kv head], and
// of down's ranges.
constexpr std::size_t kPassClocksAt = 4096, kPassPartsAt = 8192, kPassRangesAt = 32768;
constexpr std::size_t kPassEpochAt = 6144;  // the number of layers that were run with marks (pass_marks.cuh)
constexpr int kPassCounterStride = 8;  // so that blocks of different counters do not wait for each other
// Attention takes several rows of a session at once: their query heads are columns of a product, eight a tile. A tile of heads
// of 64 needs half of the warps only, so there are two at a time; kernels for more rows, and those of wide heads, go round twice.
constexpr int kColumnTile = 8;
static_assert(kMaxHeadGroup <= kColumnTile);
constexpr int column_rounds(int dim, int column_tiles) { return dim == 128 ? 2 : column_tiles; }
constexpr int visit_tiles(int dim, int column_tiles) { return kPassWarps / (kPage / 16 * dim / 32) * column_rounds(dim, column_tiles); }
// Threads add up what came of all columns, four numbers each.
static_assert(visit_tiles(64, 2) * kColumnTile * 64 <= 4 * kPassThreads && visit_tiles(128, 2) * kColumnTile * 128 <= 4 * kPassThreads);
// Attention's shared memory (see AttentionScratch): new keys; and of each tile of columns queries and scores, where its sums come
// later, softmax weights, and four numbers a column.
constexpr std::size_t column_scratch(std::size_t dim) { return kColumnTile * (kPage / 16 * dim * 4 + 2 * (kPage + 8) * 2 + 4 * 4); }
constexpr std::size_t pass_scratch(std::size_t dim, std::size_t tiles) { return kMaxPassRows * 2 * dim * 2 + tiles * column_scratch(dim); }

// A part of the attention of a (row, kv head), in floats: sums [group][dim], then total, largest score, gate and 0 of each head.
constexpr int pass_part(int group, int dim) { return group * (dim + 4); }

// How one kind of matrix is shared among the blocks: `ranges` of row tiles times `splits` of K.
struct PassMatrix {
  int row_tiles, k_tiles, outputs, cols;
  int groups, group_shift;  // of a row; a tile's group is k_tile >> group_shift
  int splits, ranges;
  std::size_t scales;  // bytes from the start of the data
};

struct PassArguments {
  float* hidden;            // [count][width]
  const PassLayer* layers;  // on the device
  float* qkv;               // [count][qkv width]
  float* parts;             // [count][kv_heads][splits + 1][pass_part()]: of attention
  float* mixed;             // [count][heads * head_dim]
  float* inner;             // [count][inner]
  float* partial;           // [splits of down][count][width]
  float *after_o, *after_down;  // [width], with marks: what `hidden` is in between
  unsigned* barrier;        // zero at first, then left as it is
  const float2* rope;
  Rows rows;
  HeadShape shape;
  PassMatrix matrix[kPassMatrices];
  int layer_count, count, width, window;
  int splits;           // blocks that share the attention over one context
  int visit_rows;       // how many rows at most share their visits to a context
  int chunk, stages;    // tiles a warp fetches at once, and how many such chunks it has on their way
  int members;          // blocks
  bool streams;         // weights do not stay in L2, and what else comes from memory must be asked for in time
  bool marked;          // a single row, whose values say for themselves that they are there (pass_marks.cuh)
  bool paired;          // neighbours are clusters of two, and turn x for each other
  long long* clocks;    // null, or [kPassLaps] that get the cycles which block 0 spent on each step
  int columns_at, scratch_at, bias_at, sums_at;  // bytes into shared memory
  int squares_from_bias, before_from_bias;     // floats
  float eps;
};

using PassKernel = void (*)(PassArguments);

// The kernel for up to 4 rows (column_tiles 1) or 8 (2), and for the type of the cache; with
// `clocks` one that times its steps, where it is bf16; `marked` one for a single row.
PassKernel pass_64(int column_tiles, Type keys, bool clocks, bool marked);
PassKernel pass_128(int column_tiles, Type keys, bool clocks, bool marked);

}  // namespace cuda
