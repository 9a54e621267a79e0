// What the parts of a loop's one kernel share: where things are, who the thread is, and how blocks meet.
#pragma once

#include "cuda/pass_marks.cuh"
#include "cuda/stream.cuh"

namespace cuda {

// What one of the four products of a layer works on; the same in all layers.
struct Step {
  const float* x;
  float* out;
  int cols, first_k, k_count;  // of x
  bool add;
};

#if __CUDA_ARCH__ >= 900

constexpr int kMaxUnits = kMaxPassRows;  // of a block: rows have, alone or together, at most as many as there are blocks
constexpr int kUnitPages = 56;           // of a unit, whose numbers are at hand; those of more come from memory

struct Span {
  int begin, end;  // positions
};

// What a block attends to at once: one part of the context of the rows that share a visit, of a kv head, by whole pages. The
// same in all layers.
struct Unit {
  int kv_head;
  int group;            // query heads that share a kv head
  unsigned inverse;     // 65536 / group, rounded up
  int columns;          // queries: the heads of its first row, then of the next
  unsigned row_bits;    // a bit for every row that shares the visit
  int part, all_parts;  // p.splits: the window of the rows' own loop, otherwise of KV1; and how many there are to merge
  Span all;             // what any of the rows sees
  int first_page, pages;
  int fresh_count;      // rows whose new key lies in it, which the cache does not have yet
  unsigned char row[kMaxPassRows], fresh[kMaxPassRows];
  Span span[kMaxPassRows];  // what each of its rows sees
  const int* table;
  int page[kUnitPages];

  __device__ __forceinline__ int page_at(int i) const { return i < kUnitPages ? page[i] : table[first_page + i]; }
  // Which of its rows a column belongs to.
  __device__ __forceinline__ int row_of(int column) const { return static_cast<int>(static_cast<unsigned>(column) * inverse >> 16); }
};

// What the parts of the kernel share: where things are, who the thread is.
struct Block {
  const PassArguments& p;
  int member, tid, warp, lane;
  unsigned char* columns;  // x as fixed point; pages of attention
  unsigned char* scratch;  // of attention
  float* bias;             // what belongs to x: see fixed_of()
  float* sums;             // [slot][count][16]
  const Parts& parts;
  float* row_scale;     // [kMaxPassRows]
  const int* loop;      // [count], as rows.loop and rows.position, in shared memory
  const int* position;
  const int* page;      // [count], where the row's new keys go
  const float2* turns;  // [count][head_dim / 2]
  const Unit* units;    // of this block
  int unit_count;
  const int& idle_part;  // see RowState
  unsigned& phase;

  // Everything that any block wrote before is there for all after. `phase` is the top bit of the barrier's number: all
  // additions of one meeting sum up to that bit, so it flips when the last has come. `meanwhile` is done while others are
  // still to come.
  template <typename Meanwhile>
  __device__ __forceinline__ void meet(const Meanwhile& meanwhile) const {
    __syncthreads();
    if (tid == 0) {
      const unsigned add = member == 0 ? 0x80000000u - static_cast<unsigned>(p.members - 1) : 1u;
      asm volatile("red.release.gpu.global.add.u32 [%0], %1;" ::"l"(p.barrier), "r"(add) : "memory");
    }
    meanwhile();
    if (tid == 0) {
      const unsigned before = phase;
      phase = before ^ 0x80000000u;
      unsigned now;
      do {
        asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(now) : "l"(p.barrier) : "memory");
      } while (((now ^ before) & 0x80000000u) == 0);
    }
    __syncthreads();
  }

  // For writes of this pair of blocks, or this block alone, into each other's shared memory. Kernels for few rows have no pairs.
  template <int N>
  __device__ __forceinline__ void meet_neighbour() const {
    if (N > 1 && p.paired) {
      asm volatile("barrier.cluster.arrive.release.aligned;\n\tbarrier.cluster.wait.acquire.aligned;" ::: "memory");
    } else {
      __syncthreads();
    }
  }

  // Whether this block is the last of `expected` to come to a counter, which then begins anew. What the others wrote before may
  // be read by all threads of the last one.
  __device__ __forceinline__ bool comes_last(unsigned* counter, int expected) const {
    __syncthreads();
    bool last = false;
    if (tid == 0) {
      unsigned before;
      asm volatile("atom.inc.acq_rel.gpu.global.u32 %0, [%1], %2;" : "=r"(before) : "l"(counter), "r"(expected - 1) : "memory");
      last = before == static_cast<unsigned>(expected - 1);
    }
    return __syncthreads_or(last) != 0;
  }
};

#endif

}  // namespace cuda
