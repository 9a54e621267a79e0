// Attention of a chunk of consecutive positions on tensor cores: causal over KV1, and for loops >= 2 over the window, too.
//
// Floor: 4 * head_dim operations a (query, key) pair and head. A block has 64 queries of one head, 16 a warp, and goes
// over the pages they see with an online softmax; pages come in by asynchronous copies, two deep. Where head_dim <= 64,
// queries and weights enter as hi + lo: small models get nearly f32 for twice the products.
#include <algorithm>
#include <string>

#include "cuda/kv.cuh"
#include "cuda/runtime.h"
#include "cuda/table.h"

namespace cuda {
namespace {

constexpr int kQueries = 64;
constexpr float kNoScore = -1e30f;

struct PrefillArguments {
  float* out;
  const float* qkv;
  const void* keys;
  const void* values;
  const float* gate_weight;  // of the loop that all rows are in
  const float* gate_bias;
  Rows rows;
  HeadShape shape;
  int count, window, r, first_position;
};

__device__ __forceinline__ uint32_t shared_address(const void* pointer) { return static_cast<uint32_t>(__cvta_generic_to_shared(pointer)); }

__device__ __forceinline__ void load_matrices(uint32_t (&r)[4], uint32_t address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];" : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(address));
}
__device__ __forceinline__ void load_matrices_turned(uint32_t (&r)[4], uint32_t address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];" : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(address));
}

// Byte of 16-byte chunk `chunk` of line `line` in a page in shared memory: chunks are exchanged within a line so that the
// same chunk of eight lines lies in eight different banks.
template <int D>
__device__ __forceinline__ uint32_t chunk_at(int line, int chunk) {
  return static_cast<uint32_t>(line * D * 2 + (chunk ^ (line & 7)) * 16);
}

// Brings lines [begin, end) of a page's 64, of head_dim elements, into shared memory as bf16, and zeros for the others:
// nobody wrote those yet, and a weight of 0 does not silence a NaN.
template <typename Element, int D>
__device__ __forceinline__ void fetch(unsigned char* to, const Element* from, int head_dim, int begin, int end) {
  const int chunks = head_dim / 8;
  for (int i = static_cast<int>(threadIdx.x); i < kPage * chunks; i += static_cast<int>(blockDim.x)) {
    const int line = i / chunks;
    const int chunk = i % chunks;
    unsigned char* target = to + chunk_at<D>(line, chunk);
    const Element* source = from + line * head_dim + chunk * 8;
    const bool written = line >= begin && line < end;
    if constexpr (sizeof(Element) == 2) {
      asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(target)), "l"(source), "r"(written ? 16 : 0) : "memory");
    } else {
      float values[8] = {};
      if (written) unpack_eight(values, load_eight(source));
      *reinterpret_cast<uint4*>(target) = make_uint4(pack_bf16(values[0], values[1]), pack_bf16(values[2], values[3]), pack_bf16(values[4], values[5]), pack_bf16(values[6], values[7]));
    }
  }
}

template <typename Element, int D, bool Exact>
__global__ __launch_bounds__(128) void prefill_attention_kernel(const PrefillArguments p) {
  extern __shared__ __align__(128) unsigned char shared[];  // two stages of a page of keys and a page of values
  constexpr int kPageBytes = kPage * D * 2;
  let_next_start();
  wait_for_previous();
  const int block = static_cast<int>(gridDim.x - 1 - blockIdx.x);  // long rows first
  const int head = static_cast<int>(blockIdx.y);
  const int group = p.shape.heads / p.shape.kv_heads;
  const int kv_head = head / group;
  const int head_dim = p.shape.head_dim;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int g = lane / 4;
  const int t = lane % 4;

  // Columns past head_dim stay zero.
  if (head_dim < D) {
    for (int i = static_cast<int>(threadIdx.x); i < 4 * kPageBytes / 16; i += 128) reinterpret_cast<uint4*>(shared)[i] = make_uint4(0, 0, 0, 0);
    __syncthreads();
  }

  // This lane's two rows of queries, as fragments; and their gates.
  const int row_of[2] = {block * kQueries + warp * 16 + g, block * kQueries + warp * 16 + g + 8};
  const int qkv_width = (p.shape.heads + 2 * p.shape.kv_heads) * head_dim;
  uint32_t q_hi[D / 16][4], q_lo[Exact ? D / 16 : 1][4];
  float dot[2] = {0, 0};
#pragma unroll
  for (int step = 0; step < D / 16; ++step) {
#pragma unroll
    for (int reg = 0; reg < 4; ++reg) {
      const int row = row_of[reg % 2];
      const int dim = step * 16 + reg / 2 * 8 + 2 * t;
      float2 v = {0, 0};
      if (row < p.count && dim < head_dim) {
        v = *reinterpret_cast<const float2*>(p.qkv + static_cast<std::size_t>(row) * qkv_width + head * head_dim + dim);
        if (p.r >= 2) dot[reg % 2] += v.x * p.gate_weight[head * head_dim + dim] + v.y * p.gate_weight[head * head_dim + dim + 1];
      }
      q_hi[step][reg] = pack_bf16(v.x, v.y);
      if constexpr (Exact) q_lo[step][reg] = pack_bf16(v.x - bf16_low(q_hi[step][reg]), v.y - bf16_high(q_hi[step][reg]));
    }
  }
  float gate[2] = {1, 1};
  if (p.r >= 2) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      dot[i] += __shfl_xor_sync(0xffffffffu, dot[i], 1);
      dot[i] += __shfl_xor_sync(0xffffffffu, dot[i], 2);
      gate[i] = 1 / (1 + expf(-(dot[i] + p.gate_bias[head])));
    }
  }

  const int first = p.first_position + block * kQueries;
  const int last = p.first_position + min(p.count, (block + 1) * kQueries) - 1;
  const int oldest = p.rows.first ? p.rows.first[0] : 0;
  const float scale = rsqrtf(static_cast<float>(head_dim)) * 1.44269504f;
  const int passes = p.r >= 2 ? 2 : 1;
  for (int pass = 0; pass < passes; ++pass) {
    const bool local = pass == 1;
    const int* table = page_table(p.rows, 0, local ? p.r : 1);
    const int begin = local ? max(max(first + 1 - p.window, oldest), 0) : 0;
    const int page_begin = begin / kPage;
    const int page_end = last / kPage + 1;
    const auto bring = [&](int page) {
      unsigned char* stage = shared + page % 2 * 2 * kPageBytes;
      const std::size_t from = kv_offset(table[page], 0, kv_head, p.shape);
      const int low = begin - page * kPage, high = last + 1 - page * kPage;
      fetch<Element, D>(stage, static_cast<const Element*>(p.keys) + from, head_dim, low, high);
      fetch<Element, D>(stage + kPageBytes, static_cast<const Element*>(p.values) + from, head_dim, low, high);
    };
    float out[D / 8][4] = {};
    float largest[2] = {kNoScore, kNoScore}, total[2] = {0, 0};
    bring(page_begin);
    asm volatile("cp.async.commit_group;" ::: "memory");
    for (int page = page_begin; page < page_end; ++page) {
      if (page + 1 < page_end) bring(page + 1);
      asm volatile("cp.async.commit_group;\n\tcp.async.wait_group 1;" ::: "memory");
      __syncthreads();
      const uint32_t keys = shared_address(shared + page % 2 * 2 * kPageBytes);
      const uint32_t values = keys + kPageBytes;

      float score[kPage / 8][4] = {};
#pragma unroll
      for (int step = 0; step < D / 16; ++step) {
#pragma unroll
        for (int pair = 0; pair < kPage / 16; ++pair) {
          uint32_t k[4];
          load_matrices(k, keys + chunk_at<D>(pair * 16 + lane / 16 * 8 + lane % 8, step * 2 + lane / 8 % 2));
          mma_bf16(score[2 * pair], q_hi[step], k[0], k[1]);
          mma_bf16(score[2 * pair + 1], q_hi[step], k[2], k[3]);
          if constexpr (Exact) {
            mma_bf16(score[2 * pair], q_lo[step], k[0], k[1]);
            mma_bf16(score[2 * pair + 1], q_lo[step], k[2], k[3]);
          }
        }
      }
      float most[2] = {largest[0], largest[1]};
#pragma unroll
      for (int n = 0; n < kPage / 8; ++n) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int key = page * kPage + n * 8 + 2 * t + i % 2;
          const int position = p.first_position + row_of[i / 2];
          const bool seen = key <= position && (!local || (key > position - p.window && key >= oldest));
          score[n][i] = seen ? score[n][i] * scale : kNoScore;
          most[i / 2] = fmaxf(most[i / 2], score[n][i]);
        }
      }
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        most[i] = fmaxf(most[i], __shfl_xor_sync(0xffffffffu, most[i], 1));
        most[i] = fmaxf(most[i], __shfl_xor_sync(0xffffffffu, most[i], 2));
        const float shrink = exp2f(largest[i] - most[i]);
        largest[i] = most[i];
        total[i] *= shrink;
#pragma unroll
        for (int n = 0; n < D / 8; ++n) {
          out[n][2 * i] *= shrink;
          out[n][2 * i + 1] *= shrink;
        }
      }
#pragma unroll
      for (int step = 0; step < kPage / 16; ++step) {
        uint32_t hi[4], lo[4];
#pragma unroll
        for (int reg = 0; reg < 4; ++reg) {
          float weight[2];
#pragma unroll
          for (int e = 0; e < 2; ++e) {
            const float s = score[2 * step + reg / 2][reg % 2 * 2 + e];
            weight[e] = s <= kNoScore ? 0.0f : exp2f(s - largest[reg % 2]);
            total[reg % 2] += weight[e];
          }
          hi[reg] = pack_bf16(weight[0], weight[1]);
          if constexpr (Exact) lo[reg] = pack_bf16(weight[0] - bf16_low(hi[reg]), weight[1] - bf16_high(hi[reg]));
        }
#pragma unroll
        for (int pair = 0; pair < D / 16; ++pair) {
          uint32_t v[4];
          load_matrices_turned(v, values + chunk_at<D>(step * 16 + lane / 8 % 2 * 8 + lane % 8, pair * 2 + lane / 16));
          mma_bf16(out[2 * pair], hi, v[0], v[1]);
          mma_bf16(out[2 * pair + 1], hi, v[2], v[3]);
          if constexpr (Exact) {
            mma_bf16(out[2 * pair], lo, v[0], v[1]);
            mma_bf16(out[2 * pair + 1], lo, v[2], v[3]);
          }
        }
      }
      __syncthreads();  // before the stage is filled again
    }

    // The first pass writes (its share of) the result, the second adds to it.
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      total[i] += __shfl_xor_sync(0xffffffffu, total[i], 1);
      total[i] += __shfl_xor_sync(0xffffffffu, total[i], 2);
      if (row_of[i] >= p.count) continue;
      const float share = (local ? 1 - gate[i] : gate[i]) / total[i];
      float* to = p.out + (static_cast<std::size_t>(row_of[i]) * p.shape.heads + head) * head_dim;
#pragma unroll
      for (int n = 0; n < D / 8; ++n) {
        const int dim = n * 8 + 2 * t;
        if (dim >= head_dim) continue;
        float2 result = {out[n][2 * i] * share, out[n][2 * i + 1] * share};
        if (local) {
          const float2 before = *reinterpret_cast<const float2*>(to + dim);
          result.x += before.x;
          result.y += before.y;
        }
        *reinterpret_cast<float2*>(to + dim) = result;
      }
    }
  }
}

using PrefillKernel = void (*)(PrefillArguments);

template <typename Element>
PrefillKernel pick(int head_dim) {
  return head_dim <= 64 ? prefill_attention_kernel<Element, 64, true> : prefill_attention_kernel<Element, 128, false>;
}

}  // namespace

void prefill_attention(Stream stream, float* out, const float* qkv, const KvCache& cache, const Gain& gate_weight, const Gain& gate_bias, const Rows& rows, int count,
                       const HeadShape& shape, int window, int r, int first_position) {
  if (shape.head_dim % 8 != 0 || shape.head_dim > 128) return fail("prefill_attention: head_dim " + std::to_string(shape.head_dim) + "; it takes multiples of 8 up to 128");
  if (count < 1) return;
  PrefillArguments p{};
  p.out = out, p.qkv = qkv, p.keys = cache.keys, p.values = cache.values, p.gate_weight = gain_of(gate_weight, r), p.gate_bias = gain_of(gate_bias, r);
  p.rows = rows, p.shape = shape, p.count = count, p.window = window, p.r = r, p.first_position = first_position;
  const PrefillKernel kernel = cache.type == Type::bf16 ? pick<__nv_bfloat16>(shape.head_dim) : pick<Fp8>(shape.head_dim);
  const std::size_t shared = 4 * static_cast<std::size_t>(kPage) * (shape.head_dim <= 64 ? 64 : 128) * 2;
  launch("prefill_attention", stream, kernel, dim3(static_cast<unsigned>((count + kQueries - 1) / kQueries), static_cast<unsigned>(shape.heads)), dim3(128), shared, p);
}

}  // namespace cuda
