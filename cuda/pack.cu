// Puts weights into the order of cuda/layout.h: from a checkpoint's rows, or seeded random ones for benchmarks.
#include <cmath>
#include <string>

#include "cuda/device.cuh"
#include "cuda/layout.h"
#include "cuda/runtime.h"
#include "cuda/table.h"

namespace cuda {
namespace {

// A raw weight before its scale: int4 minus its zero point, int8 as it is.
__device__ float raw_at(const RawMatrix& raw, int row, int col) {
  const std::size_t index = static_cast<std::size_t>(row) * static_cast<std::size_t>(raw.cols) + static_cast<std::size_t>(col);
  switch (raw.type) {
    case Type::f32: return static_cast<const float*>(raw.data)[index];
    case Type::f16: return __half2float(static_cast<const __half*>(raw.data)[index]);
    case Type::bf16: return __bfloat162float(static_cast<const __nv_bfloat16*>(raw.data)[index]);
    default: break;
  }
  const std::size_t group = static_cast<std::size_t>(row) * static_cast<std::size_t>(raw.cols / raw.group) + static_cast<std::size_t>(col / raw.group);
  if (raw.type == Type::int8) return static_cast<float>(static_cast<const signed char*>(raw.data)[index]) * raw.scales[group];
  const unsigned byte = static_cast<const unsigned char*>(raw.data)[index / 2];
  const int q = static_cast<int>(index % 2 ? byte >> 4 : byte & 15u);
  return static_cast<float>(q - (raw.zeros ? raw.zeros[group] : 8)) * raw.scales[group];
}

// One thread for eight columns of a row: they are neighbours in a lane's bytes.
__global__ void pack_kernel(Matrix out, int first_row, RowOrder order, RawMatrix raw) {
  const int chunks = ceil_div(raw.cols, 8);
  const long long at = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (at >= static_cast<long long>(raw.rows) * chunks) return;
  const int row = static_cast<int>(at / chunks);
  const int chunk = static_cast<int>(at % chunks);
  const int to = packed_row(order, first_row, row);
  unsigned char* data = static_cast<unsigned char*>(out.data);
  for (int col = chunk * 8; col < min(raw.cols, chunk * 8 + 8); ++col) {
    const Address a = address(out, to, col);
    const std::size_t index = static_cast<std::size_t>(row) * static_cast<std::size_t>(raw.cols) + static_cast<std::size_t>(col);
    switch (out.packed) {
      case Packed::int8: data[a.byte] = static_cast<const unsigned char*>(raw.data)[index]; break;
      case Packed::bf16: *reinterpret_cast<__nv_bfloat16*>(data + a.byte) = __float2bfloat16(raw_at(raw, row, col)); break;
      case Packed::pair: {
        const float value = raw_at(raw, row, col);
        const __nv_bfloat16 hi = __float2bfloat16(value);
        *reinterpret_cast<__nv_bfloat16*>(data + a.byte) = hi;
        *reinterpret_cast<__nv_bfloat16*>(data + a.byte + 2048) = __float2bfloat16(value - __bfloat162float(hi));
        break;
      }
      default: break;  // int4: below, a word at a time, because a byte belongs to two columns
    }
  }
  if (out.packed == Packed::int4 || out.packed == Packed::int4_zeros) {
    // The eight columns are two steps of four; a step's word also holds row g + 8. Nibbles of one row are disjoint from
    // the other's, and words were set to "zero" before, so each row exchanges its own bits atomically.
    for (int step = 0; step < 2; ++step) {
      unsigned keep = 0xffffffffu, bits = 0;
      std::size_t word = 0;
      for (int j = 0; j < 4; ++j) {
        const int col = chunk * 8 + step * 4 + j;
        const Address a = address(out, to, col);
        word = a.byte & ~std::size_t{3};
        const int shift = static_cast<int>(a.byte & 3) * 8 + a.nibble * 4;
        unsigned q = 8;
        if (col < raw.cols) {
          const std::size_t index = static_cast<std::size_t>(row) * static_cast<std::size_t>(raw.cols) + static_cast<std::size_t>(col);
          const unsigned byte = static_cast<const unsigned char*>(raw.data)[index / 2];
          q = index % 2 ? byte >> 4 : byte & 15u;
        }
        keep &= ~(15u << shift);
        bits |= q << shift;
      }
      unsigned* target = reinterpret_cast<unsigned*>(data + word);
      atomicAnd(target, keep);
      atomicOr(target, bits);
    }
  }
  // Scales: the thread of a group's first columns writes it.
  if (out.group == 0) return;
  const int per_row = raw.cols / out.group;
  for (int group = ceil_div(chunk * 8, out.group); group < per_row && group * out.group < chunk * 8 + 8; ++group) {
    const std::size_t from = static_cast<std::size_t>(row) * static_cast<std::size_t>(per_row) + static_cast<std::size_t>(group);
    const std::size_t index = scale_index(out, to, group);
    unsigned char* scales = data + tiles_bytes(out);
    if (out.packed == Packed::int8) {
      reinterpret_cast<float*>(scales)[index] = raw.scales[from];
    } else {
      reinterpret_cast<__half*>(scales)[index] = __float2half(raw.scales[from]);
      if (out.packed == Packed::int4_zeros) {
        reinterpret_cast<__nv_bfloat16*>(scales + scales_bytes(out))[index] = __float2bfloat16(128.0f + static_cast<float>(raw.zeros ? raw.zeros[from] : 8));
      }
    }
  }
}

// A well mixed number of (seed, index): the finaliser of splitmix64.
__device__ std::uint64_t mix(std::uint64_t seed, std::uint64_t index) {
  std::uint64_t z = seed + (index + 1) * 0x9e3779b97f4a7c15ull;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}
// Uniform in [-1, 1).
__device__ float uniform(std::uint64_t bits) { return static_cast<float>(static_cast<int>(bits >> 40) - (1 << 23)) * 0x1p-23f; }

__global__ void random_words_kernel(Matrix out, std::uint64_t seed) {
  const std::size_t words = tiles_bytes(out) / 4;
  const float spread = 1.7320508f / sqrtf(static_cast<float>(out.cols));  // uniform of this spread has deviation 1 / sqrt(cols)
  for (std::size_t i = static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < words; i += static_cast<std::size_t>(gridDim.x) * blockDim.x) {
    const std::uint64_t bits = mix(seed, i);
    unsigned word = static_cast<unsigned>(bits);
    if (out.packed == Packed::bf16) word = pack_bf16(uniform(bits << 24) * spread, uniform(mix(seed + 1, i)) * spread);
    if (out.packed == Packed::pair) {
      const float small = i / 512 % 2 ? 0.00390625f : 1.0f;
      word = pack_bf16(uniform(bits << 24) * spread * small, uniform(mix(seed + 1, i)) * spread * small);
    }
    static_cast<unsigned*>(out.data)[i] = word;
  }
  const std::size_t pairs = scales_bytes(out) / (out.packed == Packed::int8 ? 4 : 2);
  unsigned char* scales = static_cast<unsigned char*>(out.data) + tiles_bytes(out);
  // Uniform q has deviation 4.6 of 16 and 74 of 256.
  const float scale = rsqrtf(static_cast<float>(out.cols)) / (out.packed == Packed::int8 ? 74.0f : 4.6f);
  for (std::size_t i = static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < pairs; i += static_cast<std::size_t>(gridDim.x) * blockDim.x) {
    const float value = scale * (1.0f + 0.25f * uniform(mix(seed + 2, i)));
    if (out.packed == Packed::int8) {
      reinterpret_cast<float*>(scales)[i] = value;
    } else {
      reinterpret_cast<__half*>(scales)[i] = __float2half(value);
      if (out.packed == Packed::int4_zeros) {
        reinterpret_cast<__nv_bfloat16*>(scales + scales_bytes(out))[i] = __float2bfloat16(128.0f + static_cast<float>(6 + mix(seed + 3, i) % 4));
      }
    }
  }
}

__global__ void random_floats_kernel(float* out, std::size_t count, float mean, float spread, std::uint64_t seed) {
  for (std::size_t i = static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += static_cast<std::size_t>(gridDim.x) * blockDim.x) {
    out[i] = mean + spread * uniform(mix(seed, i));
  }
}

__global__ void rope_table_kernel(float2* table, int positions, int half, double theta) {
  const long long at = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (at >= static_cast<long long>(positions) * half) return;
  const double angle = static_cast<double>(at / half) * pow(theta, -static_cast<double>(at % half) / half);
  table[at] = make_float2(static_cast<float>(cos(angle)), static_cast<float>(sin(angle)));
}

}  // namespace

bool has_code_for_device() {
  cudaFuncAttributes attributes{};
  const bool there = cudaFuncGetAttributes(&attributes, pack_kernel) == cudaSuccess;
  cudaGetLastError();
  return there;
}

Matrix layout(Type type, int rows, int cols, int group, bool zeros) {
  Matrix m;
  m.rows = rows;
  m.cols = cols;
  const bool quantised = type == Type::int4 || type == Type::int8;
  if (type == Type::bf16) {
    m.packed = Packed::bf16;
  } else if (quantised && group_fits(group, cols)) {
    m.packed = type == Type::int8 ? Packed::int8 : zeros ? Packed::int4_zeros : Packed::int4;
    m.group = group;
  } else {
    m.packed = Packed::pair;
  }
  m.bytes = tiles_bytes(m) + scales_bytes(m) + (m.packed == Packed::int4_zeros ? scales_bytes(m) : 0);
  return m;
}

void pack_padding(Stream stream, const Matrix& out) {
  // Packed int4 without a zero means q = 8; with zeros (or scales) of nothing, any q is a weight of nothing.
  const std::size_t tiles = tiles_bytes(out);
  fill(stream, out.data, out.packed == Packed::int4 ? 0x88 : 0, tiles);
  if (out.bytes > tiles) fill(stream, static_cast<unsigned char*>(out.data) + tiles, 0, out.bytes - tiles);
}

void pack(Stream stream, const Matrix& out, int first_row, RowOrder order, const RawMatrix& raw) {
  const bool quantised = out.packed != Packed::bf16 && out.packed != Packed::pair;
  if (raw.cols != out.cols || first_row < 0 || (order == RowOrder::plain && first_row + raw.rows > out.rows) || (quantised && raw.group != out.group)) {
    return fail("pack: a matrix of " + std::to_string(raw.rows) + " x " + std::to_string(raw.cols) + " does not fit rows " + std::to_string(first_row) +
                " on of " + std::to_string(out.rows) + " x " + std::to_string(out.cols));
  }
  const long long threads = static_cast<long long>(raw.rows) * ceil_div(raw.cols, 8);
  pack_kernel<<<static_cast<unsigned>((threads + 255) / 256), 256, 0, native(stream)>>>(out, first_row, order, raw);
  check(cudaGetLastError(), "pack");
}

void random_matrix(Stream stream, const Matrix& out, std::uint64_t seed) {
  random_words_kernel<<<2048, 256, 0, native(stream)>>>(out, seed);
  check(cudaGetLastError(), "random_matrix");
}

void random_floats(Stream stream, float* out, std::size_t count, float mean, float spread, std::uint64_t seed) {
  random_floats_kernel<<<1024, 256, 0, native(stream)>>>(out, count, mean, spread, seed);
  check(cudaGetLastError(), "random_floats");
}

void rope_table(Stream stream, float* table, int positions, int head_dim, double theta) {
  const long long threads = static_cast<long long>(positions) * (head_dim / 2);
  rope_table_kernel<<<static_cast<unsigned>((threads + 255) / 256), 256, 0, native(stream)>>>(reinterpret_cast<float2*>(table), positions, head_dim / 2, theta);
  check(cudaGetLastError(), "rope_table");
}

}  // namespace cuda
