// The product for many rows: bf16 copies of x and of the matrix, cuBLASLt, and the epilogue.
//
// Floor: 2 * rows * rows(W) * cols operations over the tensor cores' rate. The copy of W costs its bytes once more per
// chunk, 2 / (chunk rows) bytes an operation pair: little from some 500 rows on.
#include <algorithm>
#include <string>

#include "cuda/cublaslt.h"
#include "cuda/kv.cuh"
#include "cuda/linear.cuh"
#include "cuda/runtime.h"
#include "cuda/table.h"

namespace cuda {
namespace {

int padded(int cols) { return (cols + 7) / 8 * 8; }
std::size_t align(std::size_t bytes) { return (bytes + 255) / 256 * 256; }

std::size_t operand_bytes(int rows, int cols, int parts) { return align(static_cast<std::size_t>(rows) * static_cast<std::size_t>(parts * padded(cols)) * 2); }

// Into a workspace: both operands and cuBLASLt's own memory; for two products with a nonlinearity between, also what the
// first one leaves and what the second one starts from.
struct Areas {
  std::size_t weights, product, second, cublas, end;  // x is at 0
};

Areas areas(const Matrix& m, int rows, int parts) {
  Areas a{};
  a.weights = operand_bytes(rows, m.cols, parts);
  a.product = a.second = a.cublas = a.weights + operand_bytes(m.rows, m.cols, parts);
  a.end = a.cublas + kCublasWorkspace;
  return a;
}

Areas areas(const Matrix& gate_up, const Matrix& down, int rows, int parts) {
  Areas a{};
  a.weights = operand_bytes(rows, gate_up.cols, parts);
  a.product = a.weights + std::max(operand_bytes(gate_up.rows, gate_up.cols, parts), operand_bytes(down.rows, down.cols, parts));
  a.second = a.product + align(static_cast<std::size_t>(rows) * static_cast<std::size_t>(gate_up.rows) * (parts == 1 ? 2 : 4));
  a.cublas = a.second + operand_bytes(rows, down.cols, parts);
  a.end = a.cublas + kCublasWorkspace;
  return a;
}

// A row of x, normed, as bf16: [hi], or [hi, lo, hi] to meet weights [hi, hi, lo].
__global__ void operand_kernel(__nv_bfloat16* out, const float* x, Gain gains, const int* loop, int cols, int width, int parts, float eps) {
  __shared__ float scratch[32];
  let_next_start();
  wait_for_previous();
  const float* gain = gain_of(gains, loop ? loop[blockIdx.x] : 1);
  const float* own = x + static_cast<std::size_t>(blockIdx.x) * cols;
  __nv_bfloat16* to = out + static_cast<std::size_t>(blockIdx.x) * static_cast<std::size_t>(width * parts);
  float scale = 1;
  if (gain) {
    float sum = 0;
    for (int i = static_cast<int>(threadIdx.x); i < cols; i += static_cast<int>(blockDim.x)) sum += own[i] * own[i];
    scale = rsqrtf(block_sum(sum, scratch) / static_cast<float>(cols) + eps);
  }
  for (int i = static_cast<int>(threadIdx.x); i < width; i += static_cast<int>(blockDim.x)) {
    const float value = i < cols ? own[i] * (gain ? scale * gain[i] : 1.0f) : 0.0f;
    const __nv_bfloat16 hi = __float2bfloat16(value);
    to[i] = hi;
    if (parts == 3) {
      to[width + i] = __float2bfloat16(value - __bfloat162float(hi));
      to[2 * width + i] = hi;
    }
  }
}

// A warp for a tile: each lane has two rows of eight neighbouring columns in each half, as 16-byte stores.
template <Packed P>
__global__ void unpack_kernel(__nv_bfloat16* out, Matrix m, int width, int parts) {
  let_next_start();
  wait_for_previous();
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const long long tile = static_cast<long long>(blockIdx.x) * (blockDim.x / 32) + threadIdx.x / 32;
  const int k_count = k_tiles(m);
  if (tile >= static_cast<long long>(row_tiles(m)) * k_count) return;
  const int row_tile = static_cast<int>(tile / k_count);
  const int k_tile = static_cast<int>(tile % k_count);
  const auto* data = static_cast<const unsigned char*>(m.data);
  Fragment<P> fragment;
  load_tile<P, false>(fragment, data + static_cast<std::size_t>(tile) * tile_bytes(P), lane);
  const int g = lane / 4;
  const int t = lane % 4;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int col = k_tile * kTileCols + half * 32 + t * 8;
    if (col >= width) continue;
    float2 scale = {1, 1};
    uint32_t zeros = 0;
    if constexpr (has_scales<P>()) {
      const int group = min((k_tile * kTileCols + half * 32) / m.group, groups(m) - 1);
      const std::size_t pair = (static_cast<std::size_t>(row_tile) * groups(m) + group) * 8 + g;
      const unsigned char* scales = data + tiles_bytes(m);
      if constexpr (P == Packed::int8) {
        scale = reinterpret_cast<const float2*>(scales)[pair];
      } else {
        scale = __half22float2(reinterpret_cast<const __half2*>(scales)[pair]);
        if constexpr (P == Packed::int4_zeros) zeros = reinterpret_cast<const uint32_t*>(scales + scales_bytes(m))[pair];
      }
    }
    uint32_t hi[2][4], lo[2][4];
#pragma unroll
    for (int step = 0; step < 2; ++step) {
      uint32_t a[4];
      operand<P, false>(a, fragment, half * 2 + step, 0, zeros);
      uint32_t b[4] = {0, 0, 0, 0};
      if constexpr (P == Packed::pair) operand<P, false>(b, fragment, half * 2 + step, 1, 0);
#pragma unroll
      for (int reg = 0; reg < 4; ++reg) {
        const int r = reg % 2;
        const int word = step * 2 + reg / 2;
        if constexpr (has_scales<P>()) {
          const float s = r ? scale.y : scale.x;
          const float first = bf16_low(a[reg]) * s, second = bf16_high(a[reg]) * s;
          hi[r][word] = pack_bf16(first, second);
          lo[r][word] = pack_bf16(first - bf16_low(hi[r][word]), second - bf16_high(hi[r][word]));
        } else {
          hi[r][word] = a[reg];
          lo[r][word] = b[reg];
        }
      }
    }
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const int row = row_tile * kTileRows + g + 8 * r;
      if (row >= m.rows) continue;
      __nv_bfloat16* to = out + static_cast<std::size_t>(row) * static_cast<std::size_t>(width * parts) + col;
      const uint4 high = {hi[r][0], hi[r][1], hi[r][2], hi[r][3]};
      *reinterpret_cast<uint4*>(to) = high;
      if (parts == 3) {
        *reinterpret_cast<uint4*>(to + width) = high;
        *reinterpret_cast<uint4*>(to + 2 * width) = make_uint4(lo[r][0], lo[r][1], lo[r][2], lo[r][3]);
      }
    }
  }
}

__device__ __forceinline__ void load_eight_floats(float (&out)[8], const float* at) {
  const float4 low = *reinterpret_cast<const float4*>(at), high = *reinterpret_cast<const float4*>(at + 4);
  out[0] = low.x, out[1] = low.y, out[2] = low.z, out[3] = low.w;
  out[4] = high.x, out[5] = high.y, out[6] = high.z, out[7] = high.w;
}
__device__ __forceinline__ void load_eight_floats(float (&out)[8], const __nv_bfloat16* at) { unpack_eight(out, *reinterpret_cast<const uint4*>(at)); }

// product [rows][2 * half] has gate and up interleaved by eights; out [rows][parts][half] is silu(gate) * up as an operand,
// in the parts that operand_kernel makes. A thread does eight.
template <typename Element>
__global__ void swiglu_kernel(__nv_bfloat16* out, const Element* product, long long count, int half, int parts) {
  let_next_start();
  wait_for_previous();
  const long long at = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (at >= count) return;
  const long long row = at / (half / 8);
  const int eight = static_cast<int>(at % (half / 8));
  float gate[8], up[8];
  load_eight_floats(gate, product + row * 2 * half + eight * 16);
  load_eight_floats(up, product + row * 2 * half + eight * 16 + 8);
#pragma unroll
  for (int i = 0; i < 8; ++i) up[i] *= gate[i] / (1 + expf(-gate[i]));
  const uint4 hi = {pack_bf16(up[0], up[1]), pack_bf16(up[2], up[3]), pack_bf16(up[4], up[5]), pack_bf16(up[6], up[7])};
  __nv_bfloat16* to = out + row * half * parts + eight * 8;
  *reinterpret_cast<uint4*>(to) = hi;
  if (parts == 1) return;
  *reinterpret_cast<uint4*>(to + half) = {pack_bf16(up[0] - bf16_low(hi.x), up[1] - bf16_high(hi.x)), pack_bf16(up[2] - bf16_low(hi.y), up[3] - bf16_high(hi.y)),
                                          pack_bf16(up[4] - bf16_low(hi.z), up[5] - bf16_high(hi.z)), pack_bf16(up[6] - bf16_low(hi.w), up[7] - bf16_high(hi.w))};
  *reinterpret_cast<uint4*>(to + 2 * half) = hi;
}

void copy_x(Stream stream, __nv_bfloat16* to, const float* x, const Gain& gain, const int* loop, int cols, int rows, int parts, float eps) {
  launch("prefill operand", stream, operand_kernel, dim3(static_cast<unsigned>(rows)), dim3(256), 0, to, x, gain, loop, cols, padded(cols), parts, eps);
}

void copy_weights(Stream stream, __nv_bfloat16* to, const Matrix& m, int parts) {
  const auto unpack = [&](auto kernel) {
    const long long tiles = static_cast<long long>(row_tiles(m)) * k_tiles(m);
    launch("prefill weights", stream, kernel, dim3(static_cast<unsigned>((tiles + 7) / 8)), dim3(256), 0, to, m, padded(m.cols), parts);
  };
  switch (m.packed) {
    case Packed::int4: return unpack(unpack_kernel<Packed::int4>);
    case Packed::int4_zeros: return unpack(unpack_kernel<Packed::int4_zeros>);
    case Packed::int8: return unpack(unpack_kernel<Packed::int8>);
    case Packed::bf16: return unpack(unpack_kernel<Packed::bf16>);
    case Packed::pair: return unpack(unpack_kernel<Packed::pair>);
  }
}

}  // namespace

double measure_matrix_rate() {
  constexpr int n = 8192;
  if (!prefill_ready()) return 0;
  Stream stream = stream_create();
  Matrix operand = layout(Type::bf16, n, n, 0, false);
  operand.data = device_alloc(operand.bytes);  // its order does not matter here
  void* out = device_alloc(operand.bytes);
  void* workspace = device_alloc(kCublasWorkspace);
  double best = 0;
  if (stream && operand.data && out && workspace) {
    random_matrix(stream, operand, 1);
    for (int run = 0; run < 8; ++run) {
      mark(stream, 0);
      for (int i = 0; i < 4; ++i) cublas_product(stream, out, Type::bf16, operand.data, operand.data, n, n, n, false, workspace);
      mark(stream, 1);
      const double ms = elapsed_ms(stream);
      if (run > 1 && ms > 0) best = std::max(best, 4 * 2.0 * n * n * n / (ms * 1e-3));
    }
  }
  for (void* memory : {operand.data, out, workspace}) {
    if (memory) device_free(memory);
  }
  if (stream) stream_destroy(stream);
  return best;
}

std::size_t prefill_workspace(const Matrix& m, int rows, int parts) { return areas(m, rows, parts).end; }

std::size_t prefill_mlp_workspace(const Matrix& gate_up, const Matrix& down, int rows, int parts) { return areas(gate_up, down, rows, parts).end; }

void prefill_linear(Stream stream, float* out, const float* x, const Gain& gain, const Matrix& m, int rows, float eps, Epilogue epilogue, const int* loop, int parts,
                    const Workspace& workspace) {
  const Areas a = areas(m, rows, parts);
  if (workspace.bytes < a.end) return fail("prefill_linear: its workspace is too small");
  if ((parts != 1 && parts != 3) || epilogue == Epilogue::swiglu) return fail("prefill_linear: parts are 1 or 3, and the epilogue is store or add");
  auto* base = static_cast<unsigned char*>(workspace.data);
  auto* x_copy = reinterpret_cast<__nv_bfloat16*>(base);
  auto* w_copy = reinterpret_cast<__nv_bfloat16*>(base + a.weights);
  copy_x(stream, x_copy, x, gain, loop, m.cols, rows, parts, eps);
  copy_weights(stream, w_copy, m, parts);
  cublas_product(stream, out, Type::f32, x_copy, w_copy, rows, m.rows, parts * padded(m.cols), epilogue == Epilogue::add, base + a.cublas);
}

void prefill_mlp(Stream stream, float* hidden, const Gain& gain, const Matrix& gate_up, const Matrix& down, int rows, float eps, const int* loop, int parts,
                 const Workspace& workspace) {
  const Areas a = areas(gate_up, down, rows, parts);
  const int half = down.cols;
  if (workspace.bytes < a.end) return fail("prefill_mlp: its workspace is too small");
  if ((parts != 1 && parts != 3) || half % 8 != 0 || gate_up.rows != 2 * half) return fail("prefill_mlp: parts are 1 or 3, and the inner width is a multiple of 8");
  auto* base = static_cast<unsigned char*>(workspace.data);
  auto* x_copy = reinterpret_cast<__nv_bfloat16*>(base);
  auto* w_copy = reinterpret_cast<__nv_bfloat16*>(base + a.weights);
  auto* second = reinterpret_cast<__nv_bfloat16*>(base + a.second);
  void* product = base + a.product;
  copy_x(stream, x_copy, hidden, gain, loop, gate_up.cols, rows, parts, eps);
  copy_weights(stream, w_copy, gate_up, parts);
  cublas_product(stream, product, parts == 1 ? Type::bf16 : Type::f32, x_copy, w_copy, rows, gate_up.rows, parts * padded(gate_up.cols), false, base + a.cublas);
  const long long count = static_cast<long long>(rows) * (half / 8);
  const dim3 grid(static_cast<unsigned>((count + 255) / 256));
  if (parts == 1) {
    launch("prefill swiglu", stream, swiglu_kernel<__nv_bfloat16>, grid, dim3(256), 0, second, static_cast<const __nv_bfloat16*>(product), count, half, parts);
  } else {
    launch("prefill swiglu", stream, swiglu_kernel<float>, grid, dim3(256), 0, second, static_cast<const float*>(product), count, half, parts);
  }
  copy_weights(stream, w_copy, down, parts);
  cublas_product(stream, hidden, Type::f32, second, w_copy, rows, down.rows, parts * half, true, base + a.cublas);
}

}  // namespace cuda
