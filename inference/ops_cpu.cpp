// The operations in plain loops and double accumulation: the specification that every faster version is tested against.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "inference/half.h"
#include "inference/ops.h"

namespace inference {
namespace {

// One stored weight as a float. Packing of int4: compressed-tensors "pack-quantized", little-endian words.
float weight_at(const Matrix& matrix, std::size_t row, std::size_t col) {
  const std::size_t index = row * static_cast<std::size_t>(matrix.cols) + col;
  const auto load16 = [&] {
    std::uint16_t bits;
    std::memcpy(&bits, matrix.data + index * sizeof bits, sizeof bits);
    return bits;
  };
  const auto scale = [&] {
    const std::size_t groups = static_cast<std::size_t>(matrix.cols / matrix.group);
    return matrix.scales[row * groups + col / static_cast<std::size_t>(matrix.group)];
  };
  switch (matrix.type) {
    case WeightType::f32: {
      float value;
      std::memcpy(&value, matrix.data + index * sizeof value, sizeof value);
      return value;
    }
    case WeightType::f16: return half_to_float(load16());
    case WeightType::bf16: return bfloat16_to_float(load16());
    case WeightType::int8: return static_cast<float>(static_cast<std::int8_t>(matrix.data[index])) * scale();
    case WeightType::int4: {
      const auto byte = std::to_integer<int>(matrix.data[index / 2]);
      const int stored = index % 2 == 0 ? byte & 15 : byte >> 4;
      return static_cast<float>(stored - 8) * scale();
    }
  }
  return 0;
}

void embed(ThreadPool&, float* out, const Matrix& embedding, const TokenId* ids, std::size_t rows) {
  const auto width = static_cast<std::size_t>(embedding.cols);
  for (std::size_t row = 0; row < rows; ++row) {
    for (std::size_t i = 0; i < width; ++i) out[row * width + i] = weight_at(embedding, static_cast<std::size_t>(ids[row]), i);
  }
}

void rms_norm(ThreadPool&, float* out, const float* x, const float* gain, std::size_t rows, std::size_t width, float eps) {
  for (std::size_t row = 0; row < rows; ++row) {
    const float* in = x + row * width;
    double sum = 0;
    for (std::size_t i = 0; i < width; ++i) sum += static_cast<double>(in[i]) * in[i];
    const double scale = 1 / std::sqrt(sum / static_cast<double>(width) + static_cast<double>(eps));
    for (std::size_t i = 0; i < width; ++i) out[row * width + i] = static_cast<float>(in[i] * scale) * (gain ? gain[i] : 1.0f);
  }
}

void matmul(ThreadPool&, std::span<const Product> products, const float* x, std::size_t rows) {
  for (const auto& [matrix, out] : products) {
    const auto outputs = static_cast<std::size_t>(matrix->rows);
    const auto inputs = static_cast<std::size_t>(matrix->cols);
    for (std::size_t output = 0; output < outputs; ++output) {
      for (std::size_t row = 0; row < rows; ++row) {
        double sum = 0;
        for (std::size_t i = 0; i < inputs; ++i) sum += static_cast<double>(weight_at(*matrix, output, i)) * x[row * inputs + i];
        out[row * outputs + output] = static_cast<float>(sum);
      }
    }
  }
}

void rope(ThreadPool&, float* x, std::size_t rows, int heads, int head_dim, std::size_t first, double theta) {
  const int half = head_dim / 2;
  for (std::size_t row = 0; row < rows; ++row) {
    for (int head = 0; head < heads; ++head) {
      float* vector = x + (row * static_cast<std::size_t>(heads) + static_cast<std::size_t>(head)) * static_cast<std::size_t>(head_dim);
      for (int i = 0; i < half; ++i) {
        const double angle = static_cast<double>(first + row) * std::pow(theta, -2.0 * i / head_dim);
        const double a = vector[i];
        const double b = vector[i + half];
        vector[i] = static_cast<float>(a * std::cos(angle) - b * std::sin(angle));
        vector[i + half] = static_cast<float>(b * std::cos(angle) + a * std::sin(angle));
      }
    }
  }
}

float load(const KvView& kv, const std::byte* page, std::size_t offset, std::size_t index) {
  if (kv.type == KvType::f32) {
    float value;
    std::memcpy(&value, page + offset + index * sizeof value, sizeof value);
    return value;
  }
  std::uint16_t bits;
  std::memcpy(&bits, page + offset + index * sizeof bits, sizeof bits);
  return half_to_float(bits);
}

void save(const KvView& kv, std::byte* page, std::size_t offset, std::size_t index, float value) {
  if (kv.type == KvType::f32) {
    std::memcpy(page + offset + index * sizeof value, &value, sizeof value);
  } else {
    const std::uint16_t bits = float_to_half(std::clamp(value, -kLargestHalf, kLargestHalf));
    std::memcpy(page + offset + index * sizeof bits, &bits, sizeof bits);
  }
}

// Element i of the key and of the value at `position`, as indices into its page.
std::size_t key_index(std::size_t position, std::size_t width, std::size_t i) {
  return (position % kKvPage / kKeyBlock * width + i) * kKeyBlock + position % kKeyBlock;
}
std::size_t value_index(std::size_t position, std::size_t width, std::size_t i) { return position % kKvPage * width + i; }

void store(const KvView& kv, const float* keys, const float* values, std::size_t width, std::size_t rows, std::size_t first) {
  for (std::size_t row = 0; row < rows; ++row) {
    const std::size_t position = first + row;
    for (std::size_t i = 0; i < width; ++i) {
      save(kv, kv.page_of(position), kv.keys, key_index(position, width, i), keys[row * width + i]);
      save(kv, kv.page_of(position), kv.values, value_index(position, width, i), values[row * width + i]);
    }
  }
}

void attention(ThreadPool&, float* out, const float* queries, const KvView& kv, const AttentionShape& shape,
               std::size_t rows, std::size_t first, std::size_t window) {
  const auto dim = static_cast<std::size_t>(shape.head_dim);
  const auto heads = static_cast<std::size_t>(shape.heads);
  const auto width = static_cast<std::size_t>(shape.kv_heads) * dim;
  for (std::size_t row = 0; row < rows; ++row) {
    const std::size_t position = first + row;
    const std::size_t begin = attention_begin(kv, position, window);
    for (std::size_t head = 0; head < heads; ++head) {
      const float* query = queries + (row * heads + head) * dim;
      const std::size_t offset = head / (heads / static_cast<std::size_t>(shape.kv_heads)) * dim;
      std::vector<double> weights;
      double largest = -std::numeric_limits<double>::infinity();
      for (std::size_t s = begin; s <= position; ++s) {
        double score = 0;
        for (std::size_t i = 0; i < dim; ++i) score += static_cast<double>(query[i]) * load(kv, kv.page_of(s), kv.keys, key_index(s, width, offset + i));
        weights.push_back(score / std::sqrt(static_cast<double>(dim)));
        largest = std::max(largest, weights.back());
      }
      double total = 0;
      for (double& weight : weights) total += weight = std::exp(weight - largest);
      for (std::size_t i = 0; i < dim; ++i) {
        double sum = 0;
        for (std::size_t s = begin; s <= position; ++s) sum += weights[s - begin] * load(kv, kv.page_of(s), kv.values, value_index(s, width, offset + i));
        out[(row * heads + head) * dim + i] = static_cast<float>(sum / total);
      }
    }
  }
}

void swiglu(ThreadPool&, float* out, const float* gate, const float* up, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    const double x = gate[i];
    out[i] = static_cast<float>(x / (1 + std::exp(-x)) * up[i]);
  }
}

}  // namespace

const Ops& reference_ops() {
  static const Ops ops{embed, rms_norm, matmul, rope, store, attention, swiglu};
  return ops;
}

void mix_by_gate(float* mixed, const float* global, const float* local, const float* queries, const float* weight,
                 const float* bias, std::size_t rows, int heads, int head_dim) {
  const auto dim = static_cast<std::size_t>(head_dim);
  for (std::size_t row = 0; row < rows; ++row) {
    for (std::size_t head = 0; head < static_cast<std::size_t>(heads); ++head) {
      const std::size_t at = (row * static_cast<std::size_t>(heads) + head) * dim;
      float dot = bias[head];
      for (std::size_t i = 0; i < dim; ++i) dot += queries[at + i] * weight[head * dim + i];
      const float g = 1 / (1 + std::exp(-dot));
      for (std::size_t i = 0; i < dim; ++i) mixed[at + i] = g * global[at + i] + (1 - g) * local[at + i];
    }
  }
}

}  // namespace inference
