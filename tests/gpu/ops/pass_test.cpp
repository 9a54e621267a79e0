// A whole loop as one kernel against the single operations, which the other tests hold against plain loops.
#include <algorithm>
#include <cstdlib>

#include "tests/gpu/ops/harness.h"

namespace gpu {
namespace {

constexpr float kEps = 1e-5f;
constexpr int kPositions = 2112, kTables = 9, kLayers = 2, kWindow = 64;
constexpr int kSplits = 16;

struct Shape {
  const char* name;
  cuda::HeadShape heads;
  int width, inner, group;
  bool extras;  // bias, norms of heads
};

constexpr int kNarrow = 256;
const Shape kShapes[] = {
    {"default", {12, 4, 64}, 768, 2048, 64, true},   {"odd", {5, 5, 64}, 320, 448, 64, false},   {"wide group", {14, 2, 128}, 896, 1920, 128, true},
    {"one group", {6, 2, 64}, 384, 640, 0, false}, {"40b", {40, 8, 128}, 5120, 27648, 128, false},
    {"narrow", {4, 2, 64}, kNarrow, 1088, 64, true},  // the smallest whose single rows carry marks
    // Other numbers of heads that share a kv head.
    {"twos", {8, 4, 128}, 512, 1024, 128, true},   {"fours", {8, 2, 64}, 512, 1024, 64, true},
    {"sixes", {12, 2, 128}, 512, 1024, 128, false}, {"eights", {16, 2, 64}, 512, 1024, 64, false},
};

struct Layer {
  DeviceMatrix qkv, o, gate_up, down;
  HostCache cache;
  std::vector<std::uint8_t> keys, values;  // as they were before any step
};

std::size_t n(int a, int b = 1) { return static_cast<std::size_t>(a) * static_cast<std::size_t>(b); }

DeviceMatrix random_matrix(int rows, int cols, int group, std::uint64_t seed) {
  DeviceMatrix m;
  m.matrix = api->layout(cuda::Type::int4, rows, cols, group ? group : cols, false);
  m.memory = Buffer<std::uint8_t>(m.matrix.bytes);
  m.matrix.data = m.memory.data;
  api->random_matrix(stream, m.matrix, seed);
  return m;
}

struct Bench {
  const Shape& shape;
  int q_width, qkv_width;
  std::vector<Layer> layers;
  Buffer<float> norm_a, norm_b, bias, q_gain, k_gain, gate_weight, gate_bias, rotation, hidden, qkv, mixed, inner;
  std::vector<float> start;
  Workspace workspace;

  static std::size_t needed(const Shape& s) {
    std::size_t bytes = api->attention_workspace(s.heads, 16, kSplits);
    for (const auto& [rows, cols] : {std::pair{s.width, s.inner}, std::pair{2 * s.inner, s.width}}) {
      bytes = std::max(bytes, api->linear_workspace(api->layout(cuda::Type::int4, rows, cols, s.group ? s.group : cols, false), 16));
    }
    return bytes;
  }

  Bench(const Shape& s, cuda::Type keys) : shape(s), q_width(s.heads.heads * s.heads.head_dim), qkv_width((s.heads.heads + 2 * s.heads.kv_heads) * s.heads.head_dim), workspace(needed(s)) {
    for (int i = 0; i < kLayers; ++i) {
      const auto seed = static_cast<std::uint32_t>(100 * i + 7);
      Layer layer{random_matrix(qkv_width, s.width, s.group, seed), random_matrix(s.width, q_width, s.group, seed + 1), random_matrix(2 * s.inner, s.width, s.group, seed + 2),
                  random_matrix(s.width, s.inner, s.group, seed + 3), make_cache(s.heads, keys, kPositions, kTables, seed + 4), {}, {}};
      layer.keys = layer.cache.key_memory.get();
      layer.values = layer.cache.value_memory.get();
      layers.push_back(std::move(layer));
    }
    // Gains and gates of two loops; a third takes the second's.
    norm_a = Buffer<float>(random_floats(n(2, s.width), 1, 1)), norm_b = Buffer<float>(random_floats(n(2, s.width), 1, 2));
    bias = Buffer<float>(random_floats(n(qkv_width), 0.3f, 3));
    q_gain = Buffer<float>(random_floats(n(2, s.heads.head_dim), 1, 4)), k_gain = Buffer<float>(random_floats(n(2, s.heads.head_dim), 1, 5));
    gate_weight = Buffer<float>(random_floats(n(2, q_width), 0.1f, 6)), gate_bias = Buffer<float>(random_floats(n(2, s.heads.heads), 1, 7));
    rotation = Buffer<float>(n(kPositions, s.heads.head_dim));
    api->rope_table(stream, rotation.data, kPositions, s.heads.head_dim, 1e5);
    start = random_floats(n(8, s.width), 1, 8);
    hidden = Buffer<float>(start);
    qkv = Buffer<float>(n(8, qkv_width)), mixed = Buffer<float>(n(8, q_width)), inner = Buffer<float>(n(8, s.inner));
    for (Buffer<float>* buffer : {&qkv, &mixed, &inner}) api->fill(stream, buffer->data, 0, buffer->size * sizeof(float));
  }

  void restore(const std::vector<float>& from) {
    hidden.set(from);
    for (Layer& layer : layers) {
      layer.cache.key_memory.set(layer.keys);
      layer.cache.value_memory.set(layer.values);
    }
  }

  static cuda::Gain gain(const Buffer<float>& two) { return {two.data, static_cast<int>(two.size / 2), 2}; }

  std::vector<cuda::PassLayer> pass_layers() const {
    std::vector<cuda::PassLayer> all;
    const bool extras = shape.extras;
    for (const Layer& l : layers) {
      all.push_back({l.qkv.matrix, l.o.matrix, l.gate_up.matrix, l.down.matrix, gain(norm_a), gain(norm_b), extras ? bias.data : nullptr, extras ? gain(q_gain) : cuda::Gain{},
                     extras ? gain(k_gain) : cuda::Gain{}, gain(gate_weight), gain(gate_bias), l.cache.view()});
    }
    return all;
  }

  void single(const cuda::Rows& rows, int count) {
    const bool extras = shape.extras;
    for (const Layer& l : layers) {
      const cuda::Rows own = with_pages(rows, l);
      api->linear(stream, qkv.data, hidden.data, gain(norm_a), l.qkv.matrix, count, kEps, cuda::Epilogue::store, rows.loop, workspace.view);
      api->rope_write(stream, qkv.data, l.cache.view(), extras ? bias.data : nullptr, extras ? gain(q_gain) : cuda::Gain{}, extras ? gain(k_gain) : cuda::Gain{}, rotation.data, own, count, shape.heads, kEps);
      api->attention(stream, mixed.data, qkv.data, l.cache.view(), gain(gate_weight), gain(gate_bias), own, count, shape.heads, kWindow, kSplits, workspace.view);
      api->linear(stream, hidden.data, mixed.data, {}, l.o.matrix, count, kEps, cuda::Epilogue::add, rows.loop, workspace.view);
      api->linear(stream, inner.data, hidden.data, gain(norm_b), l.gate_up.matrix, count, kEps, cuda::Epilogue::swiglu, rows.loop, workspace.view);
      api->linear(stream, hidden.data, inner.data, {}, l.down.matrix, count, kEps, cuda::Epilogue::add, rows.loop, workspace.view);
    }
  }
  // The layers' pages are the same for all, as in a model.
  cuda::Rows with_pages(const cuda::Rows& rows, const Layer&) const {
    cuda::Rows own = rows;
    own.pages = layers[0].cache.page_memory.data;
    own.table_stride = layers[0].cache.pages_a_table;
    return own;
  }
};

// Rows on the device.
struct DeviceRows {
  Buffer<int> position, loop, table, first;
  cuda::Rows rows;

  DeviceRows(const Bench& bench, const std::vector<RowPlan>& plan) {
    const auto upload = [&](int RowPlan::*member) {
      std::vector<int> values;
      for (const RowPlan& row : plan) values.push_back(row.*member);
      return Buffer<int>(values);
    };
    position = upload(&RowPlan::position), loop = upload(&RowPlan::loop), table = upload(&RowPlan::table), first = upload(&RowPlan::first);
    rows.position = position.data, rows.loop = loop.data, rows.table = table.data, rows.first = first.data;
    rows = bench.with_pages(rows, bench.layers[0]);
  }
};

// ||got - want|| / ||want - start||: what the layers added.
double error_of(const std::vector<float>& got, const std::vector<float>& want, const std::vector<float>& start) {
  double difference = 0, norm = 0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    difference += std::pow(static_cast<double>(got[i]) - want[i], 2);
    norm += std::pow(static_cast<double>(want[i]) - start[i], 2);
  }
  return std::sqrt(difference / std::max(norm, 1e-30));
}

// A draft: rows of one session that follow each other, alone or among a row of another session and one that sits out. Rows
// are to have the bits that they have one after the other, which also says that each sees the keys of those before it.
void try_drafts(Group& group, Bench& bench, const cuda::PassShape& pass_shape, const std::vector<cuda::PassLayer>& layers, const Workspace& space, cuda::Type keys) {
  const int width = bench.shape.width;
  const bool tiny = std::getenv("LOOPD_TEST_TINY") != nullptr;
  std::uint32_t seed = 100;
  const auto slice = [&](const std::vector<float>& all, int row) { return std::vector<float>(all.begin() + row * width, all.begin() + (row + 1) * width); };
  for (const int at : {0, 60, 125, 1000, 2043}) {
    for (const int loop : {1, 2, 3}) {
      for (const int length : {2, 3, 5, 8}) {
        for (const bool among : {false, true}) {
          if ((among && length > 6) || (tiny && (at != 60 || length != 2 || loop != 2 || among)) || (quick && at != 60 && length != 8)) continue;
          std::vector<RowPlan> plan;
          for (int i = 0; i < length; ++i) plan.push_back({at + i, loop, 3, std::max(0, at - 40)});
          if (among) {
            std::reverse(plan.begin(), plan.end());
            plan.insert(plan.begin(), {at + 2, loop, 6, 0});
            plan.insert(plan.begin() + 2, {at, 0, 3, 0});
          }
          const int count = static_cast<int>(plan.size());
          const std::string which = std::string(bench.shape.name) + (keys == cuda::Type::fp8 ? " fp8" : "") + (among ? " draft among others of " : " draft of ") + std::to_string(length) +
                                    " at " + std::to_string(at) + " in loop " + std::to_string(loop);
          // Other numbers each time, so that keys left by the case before are wrong ones.
          const std::vector<float> start = random_floats(n(8, width), 1, seed++);
          const DeviceRows all(bench, plan);
          bench.hidden.set(start);
          api->pass(stream, bench.hidden.data, pass_shape, layers.data(), all.rows, count, space.view);
          sync("pass");
          const std::vector<float> together = bench.hidden.get();
          std::vector<int> order;
          for (int row = 0; row < count; ++row) order.push_back(row);
          std::sort(order.begin(), order.end(), [&](int a, int b) { return plan[n(a)].position < plan[n(b)].position; });
          int different = 0;
          for (const int row : order) {
            const DeviceRows one(bench, {plan[n(row)]});
            std::vector<float> hidden = start;
            std::copy_n(start.begin() + row * width, width, hidden.begin());
            bench.hidden.set(hidden);
            api->pass(stream, bench.hidden.data, pass_shape, layers.data(), one.rows, 1, space.view);
            sync("pass of one row");
            const std::vector<float> alone = bench.hidden.get();
            different += std::memcmp(alone.data(), together.data() + row * width, n(width) * sizeof(float)) != 0;
          }
          group.check(which + ", rows with other bits", different, 0);
          bench.hidden.set(start);
          bench.single(all.rows, count);
          sync("single operations");
          const std::vector<float> want = bench.hidden.get();
          for (int row = 0; row < count; ++row) {
            if (plan[n(row)].loop > 0) group.check(which + " row " + std::to_string(row), error_of(slice(together, row), slice(want, row), slice(start, row)), keys == cuda::Type::fp8 ? 5e-2 : 5e-3);
          }
        }
      }
    }
  }
}

void try_shape(Group& group, const Shape& shape, cuda::Type keys) {
  Bench bench(shape, keys);
  const std::vector<cuda::PassLayer> layers = bench.pass_layers();
  const cuda::PassShape pass_shape{shape.heads, shape.width, shape.inner, kLayers, kWindow, kEps, bench.rotation.data};
  const std::size_t bytes = api->pass_workspace(pass_shape, layers.data());
  if (bytes == 0) return void(std::printf("     no kernel for a whole loop of %s here\n", shape.name));
  Workspace space(bytes);
  if (!api->pass_prepare(stream, pass_shape, layers.data(), space.view)) die("pass_prepare");
  // Tables 0..2, 3..5 and 6..8 are of three sessions. Rows 1 and 2 follow each other in one, and rows 0 and 6 in a window;
  // nothing that row 0 sees changes with the rows beside it.
  const std::vector<RowPlan> plan = {{200, 2, 0, 100}, {1000, 1, 3, 0}, {1001, 1, 3, 0}, {63, 1, 6, 0}, {640, 0, 6, 0}, {64, 3, 6, 0}, {201, 2, 0, 100}, {999, 2, 3, 900}};
  // Then rows alone, of long contexts and short ones, between which nothing may be left; one that sits out stays as it is.
  std::vector<std::vector<RowPlan>> steps;
  for (const std::ptrdiff_t count : {1, 2, 3, 5, 8}) steps.emplace_back(plan.begin(), plan.begin() + count);
  for (const std::size_t row : {1, 3, 5, 4, 7, 0}) steps.push_back({plan[row]});
  const bool tiny = std::getenv("LOOPD_TEST_TINY") != nullptr;
  if (tiny) steps = {steps[shape.width == kNarrow ? 0 : 2]};
  std::vector<float> alone;
  for (const std::vector<RowPlan>& step : steps) {
    const int count = static_cast<int>(step.size());
    const DeviceRows device_rows(bench, step);
    const cuda::Rows& rows = device_rows.rows;
    bench.restore(bench.start);
    bench.single(rows, count);
    sync("single operations");
    std::vector<float> want = bench.hidden.get();
    const std::string which = std::string(shape.name) + (keys == cuda::Type::fp8 ? " fp8 rows " : " rows ") + std::to_string(count);
    std::vector<float> before;
    for (int run = 0; run < (tiny ? 1 : 3); ++run) {
      bench.restore(bench.start);
      api->pass(stream, bench.hidden.data, pass_shape, layers.data(), rows, count, space.view);
      sync("pass");
      std::vector<float> got = bench.hidden.get();
      got.resize(n(count, shape.width));
      want.resize(got.size());
      if (run == 0) {
        const double error = error_of(got, want, bench.start);
        group.check(which, error, keys == cuda::Type::fp8 ? 2e-2 : 2e-3);
        // Which rows are off helps to find out why.
        for (int row = 0; row < count && !(error < 2e-2); ++row) {
          const auto slice = [&](const std::vector<float>& v) { return std::vector<float>(v.begin() + static_cast<std::ptrdiff_t>(n(row, shape.width)), v.begin() + static_cast<std::ptrdiff_t>(n(row + 1, shape.width))); };
          std::printf("     row %d (position %d, loop %d): %.2e\n", row, step[n(row)].position, step[n(row)].loop, error_of(slice(got), slice(want), slice(bench.start)));
        }
        if (alone.empty()) alone = got;
        if (step[0].position == plan[0].position) group.check(which + " row 0 alone", std::memcmp(got.data(), alone.data(), n(shape.width) * sizeof(float)) == 0 ? 0 : 1, 0);
        before = got;
      }
      group.check(which + " again", got == before ? 0 : 1, 0);
    }
  }
  if (!tiny || shape.width != kNarrow) try_drafts(group, bench, pass_shape, layers, space, keys);
}

}  // namespace

void test_pass() {
  Group group("a loop as one kernel");
  for (const Shape& shape : kShapes) {
    if (std::getenv("LOOPD_TEST_TINY") && shape.width != 320 && shape.width != kNarrow) continue;  // under a sanitizer, which takes its time
    try_shape(group, shape, cuda::Type::bf16);
    if (!std::getenv("LOOPD_TEST_TINY") && (!quick || shape.width < 1000)) try_shape(group, shape, cuda::Type::fp8);
  }
}

}  // namespace gpu
