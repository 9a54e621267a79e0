// Weights times activations: packed integers where the matrix has been packed, else floats widened row by row.
#if defined(LOOPD_MATMUL_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOOPD_MATMUL_INL_H_
#undef LOOPD_MATMUL_INL_H_
#else
#define LOOPD_MATMUL_INL_H_
#endif

#include <cstddef>
#include <cstring>
#include <vector>

#include "inference/half.h"
#include "inference/ops.h"
#include "inference/packed_matmul-inl.h"
#include "inference/simd_basics-inl.h"

HWY_BEFORE_NAMESPACE();
namespace inference::HWY_NAMESPACE {

// One stored row as float32.
inline void expand_row(const Matrix& matrix, std::size_t row, float* out) {
  const auto cols = static_cast<std::size_t>(matrix.cols);
  const std::size_t start = row * cols;
  switch (matrix.type) {
    case WeightType::f32: std::memcpy(out, matrix.data + start * sizeof(float), cols * sizeof(float)); return;
    case WeightType::f16:
    case WeightType::bf16:
      for (std::size_t i = 0; i < cols; ++i) {
        std::uint16_t bits;
        std::memcpy(&bits, matrix.data + (start + i) * sizeof bits, sizeof bits);
        out[i] = matrix.type == WeightType::f16 ? half_to_float(bits) : bfloat16_to_float(bits);
      }
      return;
    case WeightType::int8:
    case WeightType::int4: break;
  }
  const auto group = static_cast<std::size_t>(matrix.group);
  const float* scales = matrix.scales.data() + row * (cols / group);
  for (std::size_t i = 0; i < cols; ++i) {
    if (matrix.type == WeightType::int8) {
      out[i] = static_cast<float>(static_cast<std::int8_t>(matrix.data[start + i])) * scales[i / group];
    } else {
      const auto byte = std::to_integer<int>(matrix.data[(start + i) / 2]);
      out[i] = static_cast<float>((i % 2 == 0 ? byte & 15 : byte >> 4) - 8) * scales[i / group];
    }
  }
}

inline void matmul_floats(ThreadPool& pool, const Product& product, const float* x, std::size_t rows) {
  const Matrix& matrix = *product.matrix;
  const auto outputs = static_cast<std::size_t>(matrix.rows);
  const auto inputs = static_cast<std::size_t>(matrix.cols);
  pool.run(outputs, 8, [&](std::size_t begin, std::size_t end) {
    std::vector<float> weights(inputs);
    for (std::size_t output = begin; output < end; ++output) {
      expand_row(matrix, output, weights.data());
      for (std::size_t row = 0; row < rows; ++row) product.out[row * outputs + output] = dot(weights.data(), x + row * inputs, inputs);
    }
  });
}

inline void matmul(ThreadPool& pool, std::span<const Product> products, const float* x, std::size_t rows) {
  bool packed = true;
  for (const Product& product : products) packed = packed && product.matrix->packed && product.matrix->type == products[0].matrix->type;
  if (packed) return matmul_packed(pool, products, x, rows);
  for (const Product& product : products) {
    if (product.matrix->packed) {
      matmul_packed(pool, std::span(&product, 1), x, rows);
    } else {
      matmul_floats(pool, product, x, rows);
    }
  }
}

}  // namespace inference::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
