// The product for many rows: bf16 copies of x and of the matrix, cuBLASLt, and the epilogue.
//
// Floor: 2 * rows * rows(W) * cols operations over the tensor cores' rate. The copy of W costs its bytes once more per
// chunk, 2 / (chunk rows) bytes an operation pair: little from some 500 rows on.
#include <algorithm>
#include <string>

#include "cuda/cublaslt.h"
#include "cuda/linear.cuh"
#include "cuda/runtime.h"
#include "cuda/table.h"

namespace cuda {
namespace {

int padded(int cols) { return (cols + 7) / 8 * 8; }
std::size_t align(std::size_t bytes) { return (bytes + 255) / 256 * 256; }

struct Areas {
  std::size_t x, weights, product, cublas, end;
};

Areas areas(const Matrix& m, int rows, int parts) {
  const auto depth = static_cast<std::size_t>(parts * padded(m.cols));
  Areas a{};
  a.weights = align(static_cast<std::size_t>(rows) * depth * 2);
  a.product = a.weights + align(static_cast<std::size_t>(m.rows) * depth * 2);
  a.cublas = a.product + align(static_cast<std::size_t>(rows) * static_cast<std::size_t>(m.rows) * (parts == 1 ? 2 : 4));
  a.end = a.cublas + kCublasWorkspace;
  return a;
}

// A row of x, normed, as bf16: [hi], or [hi, lo, hi] to meet weights [hi, hi, lo].
__global__ void operand_kernel(__nv_bfloat16* out, const float* x, const float* gain, int cols, int width, int parts, float eps) {
  __shared__ float scratch[32];
  let_next_start();
  wait_for_previous();
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

__device__ float as_float(float value) { return value; }
__device__ float as_float(__nv_bfloat16 value) { return __bfloat162float(value); }

// product [rows][2 * half] with gate and up interleaved by eights.
template <typename Element>
__global__ void swiglu_kernel(float* out, const Element* product, long long count, int half, int stride) {
  let_next_start();
  wait_for_previous();
  const long long at = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (at >= count) return;
  const long long row = at / half;
  const int i = static_cast<int>(at % half);
  const Element* own = product + row * stride + i / 8 * 16 + i % 8;
  const float gate = as_float(own[0]);
  out[at] = gate / (1 + expf(-gate)) * as_float(own[8]);
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

void prefill_linear(Stream stream, float* out, const float* x, const float* gain, const Matrix& m, int rows, float eps, Epilogue epilogue, int parts, const Workspace& workspace) {
  const Areas a = areas(m, rows, parts);
  if (workspace.bytes < a.end) return fail("prefill_linear: its workspace is too small");
  if (parts != 1 && parts != 3) return fail("prefill_linear: parts are 1 or 3");
  auto* base = static_cast<unsigned char*>(workspace.data);
  auto* x_copy = reinterpret_cast<__nv_bfloat16*>(base);
  auto* w_copy = reinterpret_cast<__nv_bfloat16*>(base + a.weights);
  const int width = padded(m.cols);
  launch("prefill operand", stream, operand_kernel, dim3(static_cast<unsigned>(rows)), dim3(256), 0, x_copy, x, gain, m.cols, width, parts, eps);
  const auto unpack = [&](auto kernel) {
    const long long tiles = static_cast<long long>(row_tiles(m)) * k_tiles(m);
    launch("prefill weights", stream, kernel, dim3(static_cast<unsigned>((tiles + 7) / 8)), dim3(256), 0, w_copy, m, width, parts);
  };
  switch (m.packed) {
    case Packed::int4: unpack(unpack_kernel<Packed::int4>); break;
    case Packed::int4_zeros: unpack(unpack_kernel<Packed::int4_zeros>); break;
    case Packed::int8: unpack(unpack_kernel<Packed::int8>); break;
    case Packed::bf16: unpack(unpack_kernel<Packed::bf16>); break;
    case Packed::pair: unpack(unpack_kernel<Packed::pair>); break;
  }
  if (epilogue != Epilogue::swiglu) {
    return cublas_product(stream, out, Type::f32, x_copy, w_copy, rows, m.rows, parts * width, epilogue == Epilogue::add, base + a.cublas);
  }
  void* product = base + a.product;
  cublas_product(stream, product, parts == 1 ? Type::bf16 : Type::f32, x_copy, w_copy, rows, m.rows, parts * width, false, base + a.cublas);
  const int half = m.rows / 2;
  const long long count = static_cast<long long>(rows) * half;
  const dim3 grid(static_cast<unsigned>((count + 255) / 256));
  if (parts == 1) {
    launch("prefill swiglu", stream, swiglu_kernel<__nv_bfloat16>, grid, dim3(256), 0, out, static_cast<const __nv_bfloat16*>(product), count, half, m.rows);
  } else {
    launch("prefill swiglu", stream, swiglu_kernel<float>, grid, dim3(256), 0, out, static_cast<const float*>(product), count, half, m.rows);
  }
}

}  // namespace cuda
