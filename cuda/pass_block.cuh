// What the parts of a loop's one kernel share: where things are, who the thread is, and how blocks meet.
#pragma once

#include "cuda/stream.cuh"

namespace cuda {

#if __CUDA_ARCH__ >= 900

// How the context of a row is cut: `busy` parts of KV1, and one more of the window for loops >= 2.
struct Cut {
  int busy, pages_each;
  bool dual;
};

__device__ __forceinline__ Cut cut_of(const PassArguments& p, int position, int loop) {
  const int pages = position / kPage + 1;
  const int each = (pages + p.splits - 1) / p.splits;
  return {(pages + each - 1) / each, each, loop >= 2};
}

// What the parts of the kernel share: where things are, who the thread is.
struct Block {
  const PassArguments& p;
  int member, tid, warp, lane;
  unsigned char* columns;  // x as bf16 columns; attention's scratch
  float* bias;             // [tile of K][8 N]
  float* sums;             // [slot][count][16]
  const Parts& parts;
  float* squares;    // [kMaxPassRows][kPassWarps]
  float* row_scale;  // [kMaxPassRows]
  const int* loop;   // [count], and so on: rows.loop, rows.position, rows.first in shared memory
  const int* position;
  const int* first;
  const Cut* cut;       // [count]
  const float2* turns;  // [count][head_dim / 2]
  long long* clocks;  // [kPassLaps + 1], the last when a lap began

  __device__ __forceinline__ void lap(int step) const {
    if (!p.clocks || member != 0 || tid != 0) return;
    const long long now = clock64();
    clocks[step] += now - clocks[kPassLaps];
    clocks[kPassLaps] = now;
  }

  // Everything that any block wrote before is there for all after.
  __device__ __forceinline__ void meet() const {
    if (p.clustered) {
      asm volatile("barrier.cluster.arrive.release.aligned;\n\tbarrier.cluster.wait.acquire.aligned;" ::: "memory");
      return;
    }
    __syncthreads();
    if (tid == 0) {
      // All additions of one meeting sum up to the top bit, which flips when the last has come.
      const unsigned add = member == 0 ? 0x80000000u - static_cast<unsigned>(p.members - 1) : 1u;
      __threadfence();
      const unsigned before = atomicAdd(p.barrier, add);
      unsigned now;
      do {
        asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(now) : "l"(p.barrier) : "memory");
      } while (((before ^ now) & 0x80000000u) == 0);
    }
    __syncthreads();
  }
};

// One part of a (row, kv head): sums [G][D], totals [G], largest scores [G], gates [G]; padded to whole vectors.
__device__ __forceinline__ int part_size(const PassArguments& p) { return (p.shape.heads / p.shape.kv_heads * (p.shape.head_dim + 3) + 3) / 4 * 4; }
__device__ __forceinline__ float* part_of(const PassArguments& p, int row, int kv_head, int part) {
  return p.parts + static_cast<std::size_t>((row * p.shape.kv_heads + kv_head) * (p.splits + 1) + part) * static_cast<std::size_t>(part_size(p));
}

#endif

}  // namespace cuda
