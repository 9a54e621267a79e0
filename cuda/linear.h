// Between linear.cu, which plans a decode product, and the kernels made per kind of weights (linear_*.cu).
#pragma once

#include <cstddef>
#include <cstdint>

#include "cuda/plugin.h"

namespace cuda {

struct LinearArguments {
  float* out;
  const float* x;     // [rows][cols]
  Gain gain;          // [cols] each, or null: x is not normed
  const unsigned char* data;
  const void* scales;
  const uint32_t* zeros;
  const int* loop;
  float* partial;      // splits > 1: [splits][rows][row_tiles * 16]
  unsigned* counters;  // splits > 1: [ranges], zero at rest
  int rows, cols, outputs;
  int row_tiles, k_tiles;
  int splits, ranges;      // blocks = splits * ranges
  int groups, group_shift;  // of a row; a tile's group is k_tile >> group_shift
  bool exact;               // x as hi + lo
  int columns_bytes;        // of x in shared memory
  int prefetch_tiles;       // row tiles a block asks into L2 before the kernel before it ends
  float eps;
  Epilogue epilogue;
};

using LinearKernel = void (*)(LinearArguments);

// Whether a block takes one row tile at a time or several; or one, of groups of 32.
enum class Flavour { few, many, halves };

// The kernel for a flavour and 8-column tiles 1, 2 or up to 4.
LinearKernel linear_int4(Flavour flavour, int column_tiles);
LinearKernel linear_int4_zeros(Flavour flavour, int column_tiles);
LinearKernel linear_int8(Flavour flavour, int column_tiles);
LinearKernel linear_bf16(Flavour flavour, int column_tiles);
LinearKernel linear_pair(Flavour flavour, int column_tiles);

}  // namespace cuda
