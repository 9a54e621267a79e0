// The fast operations against the specification, over weight types, tolerances and odd sizes.
#include "inference/ops.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <string>

#include "inference/half.h"
#include "inference/packed.h"

using namespace inference;

namespace {

// The fast operations on every instruction set that this CPU has.
const std::vector<NamedOps>& fast_tables() {
  static const std::vector<NamedOps> tables = every_fast_ops();
  return tables;
}

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
        Stored stored = random_matrix(c.type, c.rows, c.cols, c.group, 7);
        const auto x = normal(rows * static_cast<std::size_t>(c.cols), 11);
        std::vector<float> want(rows * static_cast<std::size_t>(c.rows)), got(want.size(), NAN);
        reference_ops().matmul(pool, {{{&stored.matrix, want.data()}}}, x.data(), rows);
        Matrix* const matrices[] = {&stored.matrix};
        const PackedWeights packed(matrices, pool);
        for (const auto& table : fast_tables()) {
          const Ops& ops = table.ops;
          std::fill(got.begin(), got.end(), NAN);
          ops.matmul(pool, {{{&stored.matrix, got.data()}}}, x.data(), rows);
          CAPTURE(std::string(table.target));
          CAPTURE(name(c.type));
          CAPTURE(c.rows);
          CAPTURE(c.cols);
          CAPTURE(rows);
          CHECK(relative_error(got, want) < c.tolerance);
        }
      }
    }
  }
}

namespace {

// Pages of one layer, filled through the specification.
struct Cache {
  Cache(KvType type, std::size_t page_count, std::size_t width) : memory(page_count * kKvPage * width * 2 * size_of(type) + 64, std::byte{0}) {
    const std::size_t page = kKvPage * width * 2 * size_of(type);
    for (std::size_t i = 0; i < page_count; ++i) pages.push_back(memory.data() + i * page);
    view = {pages.data(), page_count, 0, page / 2, type, 0};
  }
  std::vector<std::byte> memory;
  std::vector<std::byte*> pages;
  KvView view;
};

}  // namespace

TEST_CASE("attention agrees with the specification, with and without a window, in a ring and not") {
  ThreadPool pool(2);
  for (const KvType type : {KvType::f32, KvType::f16}) {
    for (const AttentionShape shape : {AttentionShape{4, 2, 8}, AttentionShape{12, 4, 64}, AttentionShape{5, 1, 18}, AttentionShape{8, 8, 128}}) {
      for (const std::size_t window : {std::size_t{0}, std::size_t{1}, std::size_t{7}, std::size_t{64}}) {
        const std::size_t first = 190, rows = 11;
        const auto width = static_cast<std::size_t>(shape.kv_heads * shape.head_dim);
        const auto keys = normal((first + rows) * width, 1), values = normal((first + rows) * width, 2);
        Cache cache(type, window == 0 ? 4 : 2, width);
        reference_ops().store(cache.view, keys.data(), values.data(), width, first + rows, 0);
        KvView kv = cache.view;
        kv.first = window == 7 ? 188 : 0;
        const auto q = normal(rows * static_cast<std::size_t>(shape.heads * shape.head_dim), 3);
        std::vector<float> want(q.size());
        reference_ops().attention(pool, want.data(), q.data(), kv, shape, rows, first, window);
        for (const auto& table : fast_tables()) {
          const Ops& ops = table.ops;
          CAPTURE(std::string(table.target));
          CAPTURE(window);
          CAPTURE(shape.head_dim);
          // Stored by either table, caches hold the same bytes.
          Cache same(type, window == 0 ? 4 : 2, width);
          ops.store(same.view, keys.data(), values.data(), width, first + rows, 0);
          CHECK(cache.memory == same.memory);
          std::vector<float> got(q.size(), NAN);
          ops.attention(pool, got.data(), q.data(), kv, shape, rows, first, window);
          CHECK(relative_error(got, want) < 1e-5);
        }
      }
    }
  }
}

TEST_CASE("caches clamp what float16 cannot hold") {
  Cache cache(KvType::f16, 1, 2);
  const float keys[] = {1e6f, -1e6f}, values[] = {0.1f, 6e-8f};
  fast_ops().store(cache.view, keys, values, 2, 1, 0);
  Cache same(KvType::f16, 1, 2);
  reference_ops().store(same.view, keys, values, 2, 1, 0);
  CHECK(cache.memory == same.memory);
  std::uint16_t stored[2];
  std::memcpy(stored, cache.memory.data(), sizeof stored[0]);
  CHECK(half_to_float(stored[0]) == 65504.0f);
}

TEST_CASE("a row's results do not depend on the rows beside it, to the last bit") {
  // What makes drafts checked in a batch equal to tokens decoded one by one.
  for (const auto& table : fast_tables()) {
    const Ops& ops = table.ops;
    CAPTURE(std::string(table.target));
    ThreadPool pool(2);
    for (const WeightType type : {WeightType::int4, WeightType::int8, WeightType::f32}) {
      const std::size_t rows = 15, cols = 768;
      Stored stored = random_matrix(type, 50, static_cast<int>(cols), type == WeightType::int8 ? 768 : 64, 7);
      Matrix* const matrices[] = {&stored.matrix};
      const PackedWeights packed(matrices, pool);
      const auto x = normal(rows * cols, 11);
      std::vector<float> together(rows * 50), alone(50);
      ops.matmul(pool, {{{&stored.matrix, together.data()}}}, x.data(), rows);
      for (std::size_t row = 0; row < rows; ++row) {
        ops.matmul(pool, {{{&stored.matrix, alone.data()}}}, x.data() + row * cols, 1);
        CHECK(std::equal(alone.begin(), alone.end(), together.begin() + static_cast<std::ptrdiff_t>(row * 50)));
      }
    }
    const AttentionShape shape{12, 4, 64};
    const std::size_t width = 256, query_width = 768, first = 100, rows = 9;
    Cache cache(KvType::f16, 2, width);
    const auto keys = normal((first + rows) * width, 1), values = normal((first + rows) * width, 2), q = normal(rows * query_width, 3);
    ops.store(cache.view, keys.data(), values.data(), width, first + rows, 0);
    std::vector<float> together(q.size()), alone(query_width);
    ops.attention(pool, together.data(), q.data(), cache.view, shape, rows, first, 0);
    for (std::size_t row = 0; row < rows; ++row) {
      ops.attention(pool, alone.data(), q.data() + row * query_width, cache.view, shape, 1, first + row, 0);
      CHECK(std::equal(alone.begin(), alone.end(), together.begin() + static_cast<std::ptrdiff_t>(row * query_width)));
    }
    const auto up = normal(770 * 3, 4), gate = normal(770 * 3, 5);
    std::vector<float> both(gate.size()), one(770);
    ops.swiglu(pool, both.data(), gate.data(), up.data(), gate.size());
    for (std::size_t row = 0; row < 3; ++row) {
      ops.swiglu(pool, one.data(), gate.data() + row * 770, up.data() + row * 770, 770);
      CHECK(std::equal(one.begin(), one.end(), both.begin() + static_cast<std::ptrdiff_t>(row * 770)));
    }
  }
}

TEST_CASE("every float16 survives the way to float32 and back, and what lies between rounds to the nearest") {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value = half_to_float(static_cast<std::uint16_t>(bits));
    if (std::isnan(value)) continue;
    CHECK(float_to_half(value) == bits);
    if ((bits & 0x7fff) >= 0x7bff) continue;  // the next one is infinite
    const float next = half_to_float(static_cast<std::uint16_t>(bits + 1)), middle = value + (next - value) / 2;
    CHECK(float_to_half(middle) == (bits % 2 == 0 ? bits : bits + 1));
    CHECK(float_to_half(std::nextafter(middle, next)) == bits + 1);
    CHECK(float_to_half(std::nextafter(middle, value)) == bits);
  }
  CHECK(float_to_half(65519.0f) == 0x7bff);
  CHECK(float_to_half(65520.0f) == 0x7c00);
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
