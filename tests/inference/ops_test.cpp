// The fast operations against the specification, over weight types, tolerances and odd sizes.
#include "inference/ops.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <random>

using namespace inference;

namespace {

std::vector<float> normal(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> distribution;
  std::vector<float> values(count);
  for (float& value : values) value = distribution(random);
  return values;
}

// ||got - want|| / ||want||; NaN never passes a comparison.
double relative_error(const std::vector<float>& got, const std::vector<float>& want) {
  double difference = 0, norm = 0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    difference += std::pow(static_cast<double>(got[i]) - want[i], 2);
    norm += std::pow(static_cast<double>(want[i]), 2);
  }
  return std::sqrt(difference / std::max(norm, 1e-30));
}

struct Stored {
  Matrix matrix;
  std::vector<std::byte> bytes;
};

Stored random_matrix(WeightType type, int rows, int cols, int group, unsigned seed) {
  Stored stored;
  std::mt19937 random(seed);
  const std::size_t count = static_cast<std::size_t>(rows) * static_cast<std::size_t>(cols);
  const std::size_t bits = type == WeightType::f32 ? 32 : type == WeightType::int8 ? 8 : type == WeightType::int4 ? 4 : 16;
  stored.bytes.resize(count * bits / 8 + 1);
  // One byte in front leaves the weights misaligned, as a safetensors file may.
  std::byte* data = stored.bytes.data() + 1;
  const auto values = normal(count, seed);
  for (std::size_t i = 0; i < count; ++i) {
    if (type == WeightType::f32) std::memcpy(data + i * 4, &values[i], 4);
    if (type == WeightType::bf16) std::memcpy(data + i * 2, reinterpret_cast<const char*>(&values[i]) + 2, 2);
    if (type == WeightType::f16) {
      const auto half = static_cast<std::uint16_t>((random() & 0x83ffu) | 0x3000u);  // magnitudes 0.125 .. 0.25
      std::memcpy(data + i * 2, &half, 2);
    }
  }
  if (bits <= 8) {
    for (std::size_t i = 0; i < count * bits / 8; ++i) data[i] = static_cast<std::byte>(random());
    stored.matrix.group = group;
    for (std::size_t i = 0; i < count / static_cast<std::size_t>(group); ++i) stored.matrix.scales.push_back(0.01f + static_cast<float>(random() % 100) * 1e-3f);
  }
  stored.matrix.type = type;
  stored.matrix.rows = rows;
  stored.matrix.cols = cols;
  stored.matrix.data = data;
  return stored;
}

struct MatmulCase {
  WeightType type;
  int rows, cols, group;
  double tolerance;
};

}  // namespace

TEST_CASE("matmul agrees with the specification for every weight type and odd size") {
  const MatmulCase cases[] = {
      {WeightType::f32, 33, 17, 0, 1e-5},    {WeightType::f32, 1, 1, 0, 1e-5},       {WeightType::f16, 19, 70, 0, 1e-5},
      {WeightType::bf16, 64, 129, 0, 1e-5},  {WeightType::int4, 37, 128, 64, 1e-2},  {WeightType::int4, 5, 2048, 64, 1e-2},
      {WeightType::int4, 9, 256, 128, 1e-2}, {WeightType::int4, 11, 96, 32, 1e-5},   {WeightType::int4, 3, 48, 16, 1e-5},
      {WeightType::int8, 41, 768, 768, 3e-4}, {WeightType::int8, 7, 192, 64, 3e-4}, {WeightType::int8, 6, 40, 40, 1e-5}};
  for (const int threads : {1, 3}) {
    ThreadPool pool(threads);
    for (const MatmulCase& c : cases) {
      for (const std::size_t rows : {std::size_t{1}, std::size_t{2}, std::size_t{13}}) {
        const Stored stored = random_matrix(c.type, c.rows, c.cols, c.group, 7);
        const auto x = normal(rows * static_cast<std::size_t>(c.cols), 11);
        std::vector<float> want(rows * static_cast<std::size_t>(c.rows)), got(want.size(), NAN);
        reference_ops().matmul(pool, want.data(), x.data(), stored.matrix, rows);
        fast_ops().matmul(pool, got.data(), x.data(), stored.matrix, rows);
        CAPTURE(name(c.type));
        CAPTURE(c.rows);
        CAPTURE(c.cols);
        CAPTURE(rows);
        CHECK(relative_error(got, want) < c.tolerance);
      }
    }
  }
}

TEST_CASE("attention agrees with the specification, with and without a window, in a ring and not") {
  ThreadPool pool(2);
  for (const AttentionShape shape : {AttentionShape{4, 2, 8}, AttentionShape{12, 4, 64}, AttentionShape{5, 1, 18}}) {
    for (const std::size_t window : {std::size_t{0}, std::size_t{1}, std::size_t{7}, std::size_t{64}}) {
      const std::size_t first = 90, rows = 11, capacity = window == 0 ? 128 : 80;
      const auto width = static_cast<std::size_t>(shape.kv_heads * shape.head_dim);
      const auto keys = normal(capacity * width, 1), values = normal(capacity * width, 2);
      const auto q = normal(rows * static_cast<std::size_t>(shape.heads * shape.head_dim), 3);
      const KvView kv{keys.data(), values.data(), capacity, window == 7 ? std::size_t{88} : 0};
      std::vector<float> want(q.size()), got(q.size(), NAN);
      reference_ops().attention(pool, want.data(), q.data(), kv, shape, rows, first, window);
      fast_ops().attention(pool, got.data(), q.data(), kv, shape, rows, first, window);
      CAPTURE(window);
      CHECK(relative_error(got, want) < 1e-5);
    }
  }
}

TEST_CASE("norm, rope, swiglu and embedding agree with the specification at odd sizes") {
  ThreadPool pool(2);
  for (const std::size_t width : {std::size_t{2}, std::size_t{18}, std::size_t{64}, std::size_t{770}}) {
    const std::size_t rows = 3;
    const auto x = normal(rows * width, 5), gain = normal(width, 6);
    std::vector<float> want(x.size()), got(x.size(), NAN);
    for (const float* g : {static_cast<const float*>(nullptr), gain.data()}) {
      reference_ops().rms_norm(pool, want.data(), x.data(), g, rows, width, 1e-5f);
      fast_ops().rms_norm(pool, got.data(), x.data(), g, rows, width, 1e-5f);
      CHECK(relative_error(got, want) < 1e-6);
    }
    want = x;
    got = x;
    reference_ops().rope(pool, want.data(), rows, 1, static_cast<int>(width), 1000, 5e5);
    fast_ops().rope(pool, got.data(), rows, 1, static_cast<int>(width), 1000, 5e5);
    CHECK(relative_error(got, want) < 1e-6);
    const auto up = normal(x.size(), 8);
    reference_ops().swiglu(pool, want.data(), x.data(), up.data(), x.size());
    fast_ops().swiglu(pool, got.data(), x.data(), up.data(), x.size());
    CHECK(relative_error(got, want) < 1e-6);
  }
  const Stored stored = random_matrix(WeightType::int8, 9, 40, 40, 3);
  const TokenId ids[] = {8, 0, 3};
  std::vector<float> want(120), got(120, NAN);
  reference_ops().embed(pool, want.data(), stored.matrix, ids, 3);
  fast_ops().embed(pool, got.data(), stored.matrix, ids, 3);
  CHECK(relative_error(got, want) < 1e-7);
}
