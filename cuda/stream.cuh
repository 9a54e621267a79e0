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

// Two neighbours have the same part of K, so that they can turn x for each other.
__host__ __device__ __forceinline__ int split_of(const PassMatrix& m, int member) { return member / 2 % m.splits; }
__host__ __device__ __forceinline__ int range_of(const PassMatrix& m, int member) { return member / 2 / m.splits * 2 + member % 2; }

__device__ __forceinline__ Share share_of(const PassMatrix& m, int member) {
  const int split = split_of(m, member);
  const int range = range_of(m, member);
  const int k = m.k_tiles * split / m.splits;
  const int ks = m.k_tiles * (split + 1) / m.splits - k;
  if (range >= m.ranges) return {0, 0, k, ks};
  const int row = m.row_tiles * range / m.ranges;
  return {row, m.row_tiles * (range + 1) / m.ranges - row, k, ks};
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

// Where a warp stands in the weights of all layers: its next tile, and the scales of that tile's row.
struct Cursor {
  const unsigned char *words, *scales;
  int layer, matrix;
  int k, left;  // tiles into the share's K, and up to the run's end
};

// All of a block's parts, in shared memory: the same for all layers.
struct Parts {
  Share share[kPassMatrices];
  Run run[kPassMatrices][kPassWarps];
  short2 slots[kPassMatrices][kPassShareRows];  // first and last piece of each row tile; see product()
  Cursor next[kPassWarps];  // what each warp copies next: moves, unlike the rest
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

// One warp's ring. Lane 0 talks to the copy engine, and alone knows what comes next: in shared memory, because registers are
// what the products want.
struct Ring {
  const PassArguments& p;
  Parts& parts;
  const unsigned char* const* weights;  // [layers][kPassMatrices], in shared memory
  unsigned char* memory;                // of this warp, in shared memory
  uint32_t barriers;
  int warp, lane;
  uint32_t use_stage = 0, use_parity = 0;
  bool owes = false;  // the stage before use_stage is not asked for anew yet

  __device__ __forceinline__ uint32_t stage_bytes() const { return static_cast<uint32_t>(p.chunk) * 544u; }  // tiles, then at most one line of scales each

  __device__ __forceinline__ void start() {
    if (lane != 0) return;
    Cursor first{};
    first.matrix = -1;
    next_run(first);
    parts.next[warp] = first;
#pragma unroll 1
    for (int i = 0; i < p.stages; ++i) fill(static_cast<uint32_t>(i));
  }

  // The first line of scales of the tiles from a cursor on, and how many bytes of them there are.
  struct Scales {
    const unsigned char* from;
    uint32_t bytes;
  };
  __device__ __forceinline__ Scales scales_of(const Cursor& c, const Share& s, int tiles) const {
    const int shift = p.matrix[c.matrix].group_shift;
    const uint32_t first = static_cast<uint32_t>(s.first_k + c.k);
    const uint32_t group = first >> shift;
    return {c.scales + group * 32, (((first + static_cast<uint32_t>(tiles) - 1) >> shift) - group + 1) * 32};
  }
  __device__ __forceinline__ int tiles_of(const Cursor& c, const Share& s, int most) const { return min(min(most, s.ks - c.k), c.left); }

  // Asks for the next chunk, if there is one. Of lane 0, as all that follows.
  __device__ __forceinline__ void fill(uint32_t stage) {
    Cursor next = parts.next[warp];
    if (next.layer >= p.layer_count) return;
    const Share s = parts.share[next.matrix];
    const int tiles = tiles_of(next, s, p.chunk);
    const Scales scales = scales_of(next, s, tiles);
    const uint32_t bytes = static_cast<uint32_t>(tiles) * 512;
    const uint32_t to = shared_address(memory) + stage * stage_bytes();
    const uint32_t barrier = barriers + stage * 8;
    barrier_expect(barrier, bytes + scales.bytes);
    bulk_copy(to, next.words, bytes, barrier);
    bulk_copy(to + static_cast<uint32_t>(p.chunk) * 512, scales.from, scales.bytes, barrier);
    pass_by(next, s, tiles);
    parts.next[warp] = next;
  }

  __device__ __forceinline__ void pass_by(Cursor& c, const Share& s, int tiles) const {
    c.words += tiles * 512;
    c.k += tiles;
    c.left -= tiles;
    if (c.left == 0) return next_run(c);
    if (c.k == s.ks) {
      const PassMatrix& m = p.matrix[c.matrix];
      c.k = 0;
      c.words += (m.k_tiles - s.ks) * 512;
      c.scales += m.groups * 32;
    }
  }
  // A matrix has less than 4 GiB.
  __device__ __forceinline__ void next_run(Cursor& c) const {
    Run run;
    do {
      if (++c.matrix == kPassMatrices) {
        c.matrix = 0;
        if (++c.layer == p.layer_count) return;
      }
      run = parts.run[c.matrix][warp];
    } while (run.at == run.end);
    const PassMatrix& m = p.matrix[c.matrix];
    const Share s = parts.share[c.matrix];
    const unsigned char* base = weights[c.layer * kPassMatrices + c.matrix];
    const uint32_t row = static_cast<uint32_t>(s.first_row + run.row);
    c.k = run.k, c.left = run.end - run.at;
    c.words = base + (row * static_cast<uint32_t>(m.k_tiles) + static_cast<uint32_t>(s.first_k + run.k)) * 512u;
    c.scales = base + m.scales + row * static_cast<uint32_t>(m.groups) * 32u;
  }

  // The chunk that was asked for first, once it is there.
  __device__ __forceinline__ const unsigned char* take() const {
    while (!barrier_passed(barriers + use_stage * 8, use_parity)) {
    }
    return memory + use_stage * stage_bytes();
  }
  // Its memory may be filled again: at once, or, at a product's end, when others wait anyway (settle()).
  __device__ __forceinline__ void give_back(bool at_once) {
    __syncwarp();
    if (at_once) {
      if (lane == 0) fill(use_stage);
      __syncwarp();
    }
    owes = !at_once;
    if (++use_stage == static_cast<uint32_t>(p.stages)) {
      use_stage = 0;
      use_parity ^= 1;
    }
  }
  __device__ __forceinline__ void settle() {
    if (owes && lane == 0) fill((use_stage == 0 ? static_cast<uint32_t>(p.stages) : use_stage) - 1);
    owes = false;
  }
};
#endif

}  // namespace cuda
