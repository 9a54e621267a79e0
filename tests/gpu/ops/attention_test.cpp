// Decode attention over paged caches: lengths around the page size, mixed loops in a batch, both cache types.
#include <algorithm>
#include <numeric>

#include "tests/gpu/ops/harness.h"

namespace gpu {

std::size_t HostCache::at(int table, int position, int kv_head) const {
  const int page = pages[static_cast<std::size_t>(table * pages_a_table + position / cuda::kPage)];
  return ((static_cast<std::size_t>(page) * static_cast<std::size_t>(shape.kv_heads) + static_cast<std::size_t>(kv_head)) * cuda::kPage + static_cast<std::size_t>(position % cuda::kPage)) *
         static_cast<std::size_t>(shape.head_dim);
}

HostCache make_cache(const cuda::HeadShape& shape, cuda::Type type, int positions, int tables, std::uint32_t seed) {
  HostCache cache;
  cache.shape = shape;
  cache.type = type;
  cache.pages_a_table = (positions + cuda::kPage - 1) / cuda::kPage;
  cache.tables = tables;
  const int pages = cache.pages_a_table * tables;
  cache.pages.resize(static_cast<std::size_t>(pages));
  std::iota(cache.pages.begin(), cache.pages.end(), 0);
  std::mt19937 random(seed);
  std::shuffle(cache.pages.begin(), cache.pages.end(), random);
  const std::size_t count = static_cast<std::size_t>(pages) * static_cast<std::size_t>(shape.kv_heads * cuda::kPage * shape.head_dim);
  const bool bf16 = type == cuda::Type::bf16;
  std::normal_distribution<float> normal(0, 1);
  const auto make = [&](std::vector<float>& values) {
    values.resize(count);
    std::vector<std::uint8_t> bytes(count * (bf16 ? 2 : 1));
    for (std::size_t i = 0; i < count; ++i) {
      if (bf16) {
        const std::uint16_t bits = to_bf16(normal(random));
        std::memcpy(bytes.data() + 2 * i, &bits, 2);
        values[i] = from_bf16(bits);
      } else {
        bytes[i] = static_cast<std::uint8_t>(random() & 0xff);
        if (bytes[i] % 128 > 0x40) bytes[i] = static_cast<std::uint8_t>((bytes[i] & 0x80) | 0x38);  // at most 2
        values[i] = from_fp8(bytes[i]);
      }
    }
    return Buffer<std::uint8_t>(bytes);
  };
  cache.key_memory = make(cache.keys);
  cache.value_memory = make(cache.values);
  cache.page_memory = Buffer<int>(cache.pages);
  return cache;
}

namespace {

// Softmax attention of one head over [begin, position].
std::vector<double> one_head(const float* query, const HostCache& cache, int table, int kv_head, int begin, int position) {
  const int dim = cache.shape.head_dim;
  std::vector<double> scores;
  for (int s = begin; s <= position; ++s) {
    const float* key = cache.keys.data() + cache.at(table, s, kv_head);
    double score = 0;
    for (int i = 0; i < dim; ++i) score += static_cast<double>(query[i]) * static_cast<double>(key[i]);
    scores.push_back(score / std::sqrt(static_cast<double>(dim)));
  }
  const double largest = *std::max_element(scores.begin(), scores.end());
  double total = 0;
  std::vector<double> out(static_cast<std::size_t>(dim));
  for (int s = begin; s <= position; ++s) {
    const double weight = std::exp(scores[static_cast<std::size_t>(s - begin)] - largest);
    total += weight;
    const float* value = cache.values.data() + cache.at(table, s, kv_head);
    for (int i = 0; i < dim; ++i) out[static_cast<std::size_t>(i)] += weight * static_cast<double>(value[i]);
  }
  for (double& value : out) value /= total;
  return out;
}

}  // namespace

std::vector<double> attend(const float* qkv_row, const HostCache& cache, const RowPlan& row, const std::vector<float>& gate_weight,
                           const std::vector<float>& gate_bias, int window) {
  const int dim = cache.shape.head_dim;
  std::vector<double> out;
  for (int head = 0; head < cache.shape.heads; ++head) {
    const float* query = qkv_row + head * dim;
    const int kv_head = head / (cache.shape.heads / cache.shape.kv_heads);
    std::vector<double> mixed = one_head(query, cache, row.table, kv_head, 0, row.position);
    if (row.loop >= 2) {
      const int begin = std::max({0, row.position + 1 - window, row.first});
      const std::vector<double> local = one_head(query, cache, row.table + row.loop - 1, kv_head, begin, row.position);
      double dot = static_cast<double>(gate_bias[static_cast<std::size_t>(head)]);
      for (int i = 0; i < dim; ++i) dot += static_cast<double>(query[i]) * static_cast<double>(gate_weight[static_cast<std::size_t>(head * dim + i)]);
      const double g = 1 / (1 + std::exp(-dot));
      for (std::size_t i = 0; i < mixed.size(); ++i) mixed[i] = g * mixed[i] + (1 - g) * local[i];
    }
    out.insert(out.end(), mixed.begin(), mixed.end());
  }
  return out;
}

namespace {

void try_shape(Group& group, const cuda::HeadShape& shape, cuda::Type type, const std::vector<RowPlan>& plan, int window, int splits, bool gates, std::uint32_t seed) {
  int longest = 0, tables = 0;
  for (const RowPlan& row : plan) {
    longest = std::max(longest, row.position + 1);
    tables = std::max(tables, row.table + 3);
  }
  const HostCache cache = make_cache(shape, type, longest, tables, seed);
  const int width = (shape.heads + 2 * shape.kv_heads) * shape.head_dim;
  const int out_width = shape.heads * shape.head_dim;
  const std::vector<float> qkv = random_floats(plan.size() * static_cast<std::size_t>(width), 1, seed + 1);
  const std::vector<float> gate_weight = random_floats(2 * static_cast<std::size_t>(out_width), 0.2f, seed + 2);  // of two loops
  const std::vector<float> gate_bias = random_floats(2 * static_cast<std::size_t>(shape.heads), 1, seed + 3);
  std::vector<int> position, loop, table, first;
  for (const RowPlan& row : plan) {
    position.push_back(row.position);
    loop.push_back(row.loop);
    table.push_back(row.table);
    first.push_back(row.first);
  }
  const Buffer<int> position_memory(position), loop_memory(loop), table_memory(table), first_memory(first);
  cuda::Rows rows;
  rows.position = position_memory.data;
  rows.loop = loop_memory.data;
  rows.table = table_memory.data;
  rows.first = first_memory.data;
  rows.pages = cache.page_memory.data;
  rows.table_stride = cache.pages_a_table;
  const Buffer<float> qkv_memory(qkv), weight_memory(gate_weight), bias_memory(gate_bias);
  const int count = static_cast<int>(plan.size());
  Workspace workspace(api->attention_workspace(shape, count, splits));
  Buffer<float> out(plan.size() * static_cast<std::size_t>(out_width));
  std::vector<std::vector<double>> want(plan.size());
  in_parallel(plan.size(), [&](std::size_t r) {
    if (plan[r].loop) want[r] = attend(qkv.data() + r * static_cast<std::size_t>(width), cache, plan[r], gain_of(gate_weight, 2, plan[r].loop), gain_of(gate_bias, 2, plan[r].loop), window);
  });
  for (int run = 0; run < 2; ++run) {  // twice: the counters must be back at zero
    out.poison();
    api->attention(stream, out.data, qkv_memory.data, cache.view(), gates ? cuda::Gain{weight_memory.data, out_width, 2} : cuda::Gain{}, gates ? cuda::Gain{bias_memory.data, shape.heads, 2} : cuda::Gain{}, rows, count, shape, window, splits,
                   workspace.view);
    const std::vector<float> got = out.get();
    for (std::size_t r = 0; r < plan.size(); ++r) {
      if (plan[r].loop == 0) continue;
      const std::vector<float> row(got.begin() + static_cast<std::ptrdiff_t>(r) * out_width, got.begin() + static_cast<std::ptrdiff_t>(r + 1) * out_width);
      group.check("heads " + std::to_string(shape.heads) + "/" + std::to_string(shape.kv_heads) + "x" + std::to_string(shape.head_dim) + " position " +
                      std::to_string(plan[r].position) + " loop " + std::to_string(plan[r].loop) + " splits " + std::to_string(splits),
                  relative_error(row, want[r]), 2e-5);
    }
  }
}

}  // namespace

void test_attention() {
  const cuda::HeadShape shapes[] = {{12, 4, 64}, {40, 8, 128}, {4, 2, 8}, {28, 4, 128}, {8, 8, 64}, {16, 2, 96}, {4, 4, 16}};
  for (const cuda::Type type : {cuda::Type::bf16, cuda::Type::fp8}) {
    Group group(std::string("attention ") + (type == cuda::Type::bf16 ? "bf16" : "fp8"));
    std::uint32_t seed = 50;
    for (const cuda::HeadShape& shape : shapes) {
      const std::vector<RowPlan> mixed = {{0, 1, 0, 0}, {62, 1, 0, 0}, {63, 2, 0, 0}, {64, 3, 3, 0}, {65, 0, 3, 0}, {200, 2, 3, 150}, {130, 2, 0, 0}, {127, 1, 3, 0}};
      try_shape(group, shape, type, mixed, 64, 16, true, seed += 5);
      try_shape(group, shape, type, {{70, 2, 0, 0}, {71, 2, 0, 0}, {72, 2, 0, 71}}, 8, 3, true, seed += 5);
      try_shape(group, shape, type, {{1499, 1, 0, 0}}, 64, 7, false, seed += 5);
      if (!quick) try_shape(group, shape, type, {{5000, 2, 0, 0}, {4095, 1, 3, 0}}, 64, 32, true, seed += 5);
    }
  }
}

}  // namespace gpu
