// Weights on their way from memory through shared memory: every warp has a ring of chunks of its own, filled by bulk copies.
//
// A matrix is shared among blocks, a block's tiles among its warps, as runs of consecutive tiles of nearly equal length. A
// warp knows its runs of all matrices of all layers in advance, so the copies run ahead of the products by as much as the
// ring holds, past every barrier: memory does not wait for the chain of operations.
#pragma once

#include "cuda/device.cuh"
#include "cuda/layout.h"
#include "cuda/pass.h"

namespace cuda {

__device__ __forceinline__ uint32_t shared_address(const void* pointer) { return static_cast<uint32_t>(__cvta_generic_to_shared(pointer)); }

// This block's part of a matrix: row tiles [first_row, first_row + rows) times tiles of K [first_k, first_k + ks).
struct Share {
  int first_row, rows, first_k, ks;
};

__device__ __forceinline__ Share share_of(const PassMatrix& m, int member) {
  const int split = member % m.splits;
  const int range = member / m.splits;
  if (range >= m.ranges) return {0, 0, 0, 1};
  const int row = m.row_tiles * range / m.ranges;
  const int k = m.k_tiles * split / m.splits;
  return {row, m.row_tiles * (range + 1) / m.ranges - row, k, m.k_tiles * (split + 1) / m.splits - k};
}

// A warp's run of a share's tiles in their order, row tile by row tile; and where it stands.
struct Run {
  int at, end, row, k;
};

__device__ __forceinline__ int warps_of(const Share& s) { return min(s.rows * s.ks, kPassWarps); }

__device__ __forceinline__ Run run_of(const Share& s, int warp) {
  const int tiles = s.rows * s.ks;
  const int warps = warps_of(s);
  if (warp >= warps) return {0, 0, 0, 0};
  const int at = tiles * warp / warps;
  const int row = at / s.ks;
  return {at, tiles * (warp + 1) / warps, row, at - row * s.ks};
}
// The warp whose run has a tile.
__device__ __forceinline__ int warp_of(const Share& s, int tile) { return ((tile + 1) * warps_of(s) - 1) / (s.rows * s.ks); }

// All of a block's parts, in shared memory: the same for all layers.
struct Parts {
  Share share[kPassMatrices];
  Run run[kPassMatrices][kPassWarps];
  short2 slots[kPassMatrices][kPassShareRows];  // first and last piece of each row tile; see product()
};

__device__ __forceinline__ void fill_parts(Parts& parts, const PassArguments& p, int member, int tid) {
  for (int i = tid; i < kPassMatrices * kPassShareRows; i += kPassThreads) {
    const int m = i / kPassShareRows;
    const int row = i % kPassShareRows;
    const Share s = share_of(p.matrix[m], member);
    if (row == 0) parts.share[m] = s;
    if (row < kPassWarps) parts.run[m][row] = run_of(s, row);
    if (row < s.rows) parts.slots[m][row] = make_short2(static_cast<short>(warp_of(s, row * s.ks) + row), static_cast<short>(warp_of(s, (row + 1) * s.ks - 1) + row));
  }
}

// How many tiles the next chunk of a run has: it stays within a row tile.
__device__ __forceinline__ int chunk_of(const Run& run, const Share& s, int most) { return min(min(most, s.ks - run.k), run.end - run.at); }

__device__ __forceinline__ void advance(Run& run, const Share& s, int tiles) {
  run.at += tiles;
  run.k += tiles;
  if (run.k == s.ks) {
    run.k = 0;
    ++run.row;
  }
}

#if __CUDA_ARCH__ >= 900
__device__ __forceinline__ void barrier_init(uint32_t barrier) { asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(barrier) : "memory"); }
__device__ __forceinline__ void barrier_expect(uint32_t barrier, uint32_t bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes) : "memory");
}
__device__ __forceinline__ bool barrier_passed(uint32_t barrier, uint32_t parity) {
  uint32_t passed;
  asm volatile("{\n.reg .pred p;\nmbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\nselp.u32 %0, 1, 0, p;\n}" : "=r"(passed) : "r"(barrier), "r"(parity) : "memory");
  return passed != 0;
}
__device__ __forceinline__ void bulk_copy(uint32_t to, const void* from, uint32_t bytes, uint32_t barrier) {
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(to), "l"(from), "r"(bytes), "r"(barrier) : "memory");
}

// One warp's ring. All lanes hold the same numbers; lane 0 talks to the copy engine.
struct Ring {
  const PassArguments& p;
  const Parts& parts;
  const unsigned char* const* weights;  // [layers][kPassMatrices], in shared memory
  unsigned char* memory;                // of this warp, in shared memory
  uint32_t barriers;
  int warp, lane;
  int layer = 0, matrix = 0;  // what the next copy is of
  Run run{};
  uint32_t fill_stage = 0, use_stage = 0, use_parity = 0;

  __device__ __forceinline__ uint32_t stage_bytes() const { return static_cast<uint32_t>(p.chunk) * 544u; }  // tiles, then at most one line of scales each

  __device__ __forceinline__ void start() {
    run = parts.run[0][warp];
    if (run.at == run.end) next_run();
    for (int i = 0; i < p.stages; ++i) fill();
  }

  // Asks for the next chunk, if there is one. A matrix has less than 4 GiB.
  __device__ __forceinline__ void fill() {
    if (layer >= p.layer_count) return;
    const Share s = parts.share[matrix];
    const PassMatrix& m = p.matrix[matrix];
    const int tiles = chunk_of(run, s, p.chunk);
    if (lane == 0) {
      const unsigned char* base = weights[layer * kPassMatrices + matrix];
      const uint32_t row = static_cast<uint32_t>(s.first_row + run.row);
      const uint32_t k = static_cast<uint32_t>(s.first_k + run.k);
      const uint32_t group = k >> m.group_shift;
      const uint32_t scale_bytes = (((k + static_cast<uint32_t>(tiles) - 1) >> m.group_shift) - group + 1) * 32;
      const uint32_t bytes = static_cast<uint32_t>(tiles) * 512;
      const uint32_t to = shared_address(memory) + fill_stage * stage_bytes();
      const uint32_t barrier = barriers + fill_stage * 8;
      barrier_expect(barrier, bytes + scale_bytes);
      bulk_copy(to, base + (row * static_cast<uint32_t>(m.k_tiles) + k) * 512u, bytes, barrier);
      bulk_copy(to + static_cast<uint32_t>(p.chunk) * 512, base + m.scales + (row * static_cast<uint32_t>(m.groups) + group) * 32u, scale_bytes, barrier);
    }
    if (++fill_stage == static_cast<uint32_t>(p.stages)) fill_stage = 0;
    advance(run, s, tiles);
    if (run.at == run.end) next_run();
  }

  __device__ __forceinline__ void next_run() {
    do {
      if (++matrix == kPassMatrices) {
        matrix = 0;
        if (++layer == p.layer_count) return;
      }
      run = parts.run[matrix][warp];
    } while (run.at == run.end);
  }

  // The chunk that was asked for first, once it is there.
  __device__ __forceinline__ const unsigned char* take() const {
    while (!barrier_passed(barriers + use_stage * 8, use_parity)) {
    }
    return memory + use_stage * stage_bytes();
  }
  // Its memory may be filled again.
  __device__ __forceinline__ void give_back() {
    __syncwarp();
    if (++use_stage == static_cast<uint32_t>(p.stages)) {
      use_stage = 0;
      use_parity ^= 1;
    }
    fill();
  }
};
#endif

}  // namespace cuda
