// Prefill: the product through cuBLASLt and the attention of a chunk, also against decode's.
#include <algorithm>

#include "tests/gpu/ops/harness.h"

namespace gpu {
namespace {

constexpr float kEps = 1e-5f;

void test_product() {
  using cuda::Type;
  struct Kind {
    const char* name;
    Type type;
    int group;
    bool zeros;
    int rows, cols;
  };
  for (const int parts : {1, 3}) {
    Group group("prefill_linear parts " + std::to_string(parts));
    for (const Kind& kind : {Kind{"int4 g64", Type::int4, 64, false, 1280, 768}, Kind{"int4 zeros", Type::int4, 128, true, 768, 2048}, Kind{"int4 g32", Type::int4, 32, false, 96, 96},
                             Kind{"int8", Type::int8, 0, false, 512, 1000}, Kind{"bf16", Type::bf16, 0, false, 97, 32}, Kind{"f32", Type::f32, 0, false, 48, 36}}) {
      const HostMatrix host = make_matrix(kind.type, kind.rows, kind.cols, kind.group ? kind.group : kind.cols, kind.zeros, 70);
      const DeviceMatrix device = pack({&host});
      for (const int rows : {1, 17, 130}) {
        const std::vector<float> x = random_floats(static_cast<std::size_t>(rows * kind.cols), 1, 71), gain = random_floats(2 * static_cast<std::size_t>(kind.cols), 1, 72);  // of two loops
        const std::vector<float> before = random_floats(static_cast<std::size_t>(rows * kind.rows), 1, 73);
        const Buffer<float> x_memory(x), gain_memory(gain);
        const Buffer<int> loop(std::vector<int>(static_cast<std::size_t>(rows), 3));
        Buffer<float> out(before);
        Workspace workspace(api->prefill_workspace(device.matrix, rows, parts));
        for (const bool add : {true, false}) {
          if (!add) out.poison();
          api->prefill_linear(stream, out.data, x_memory.data, {gain_memory.data, kind.cols, 2}, device.matrix, rows, kEps, add ? cuda::Epilogue::add : cuda::Epilogue::store, loop.data, parts, workspace.view);
          const std::vector<float> got = out.get();
          std::vector<double> want = product(normed(x, gain_of(gain, 2, 3), rows, kind.cols, kEps), host, rows);
          for (std::size_t i = 0; i < want.size() && add; ++i) want[i] += static_cast<double>(before[i]);
          group.check(std::string(kind.name) + " rows " + std::to_string(rows) + (add ? " add" : ""), relative_error(got, want), parts == 3 ? 3e-5 : 6e-3);
        }
      }
    }
    const HostMatrix gate = make_matrix(Type::int4, 200, 128, 64, false, 74), up = make_matrix(Type::int4, 200, 128, 64, false, 75);
    const HostMatrix down = make_matrix(Type::int4, 128, 200, 200, false, 77);
    const DeviceMatrix device = pack({&gate, &up}, true), device_down = pack({&down});
    const int rows = 33;
    const std::vector<float> x = random_floats(rows * 128, 1, 76), gain = random_floats(128, 1, 78);
    const Buffer<float> gain_memory(gain);
    Buffer<float> hidden(x);
    Workspace workspace(api->prefill_mlp_workspace(device.matrix, device_down.matrix, rows, parts));
    api->prefill_mlp(stream, hidden.data, {gain_memory.data}, device.matrix, device_down.matrix, rows, kEps, nullptr, parts, workspace.view);
    const std::vector<float> in = normed(x, gain, rows, 128, kEps);
    const std::vector<double> g = product(in, gate, rows), u = product(in, up, rows);
    std::vector<float> inner(g.size());
    for (std::size_t i = 0; i < g.size(); ++i) inner[i] = static_cast<float>(g[i] / (1 + std::exp(-g[i])) * u[i]);
    std::vector<double> want = product(inner, down, rows);
    for (std::size_t i = 0; i < want.size(); ++i) want[i] += static_cast<double>(x[i]);
    group.check("mlp", relative_error(hidden.get(), want), parts == 3 ? 3e-5 : 1e-2);
  }
}

void test_chunks() {
  for (const cuda::Type type : {cuda::Type::bf16, cuda::Type::fp8}) {
    Group group(std::string("prefill_attention ") + (type == cuda::Type::bf16 ? "bf16" : "fp8"));
    for (const cuda::HeadShape& shape : {cuda::HeadShape{12, 4, 64}, cuda::HeadShape{10, 2, 128}, cuda::HeadShape{4, 2, 8}, cuda::HeadShape{4, 2, 96}}) {
      struct Chunk {
        int first, count, r, window, oldest;
      };
      for (const Chunk& chunk : {Chunk{0, 1, 1, 64, 0}, Chunk{0, 64, 1, 64, 0}, Chunk{0, 200, 2, 64, 0}, Chunk{100, 129, 2, 64, 90}, Chunk{333, 40, 3, 8, 0}, Chunk{61, 70, 1, 64, 0}}) {
        const HostCache cache = make_cache(shape, type, chunk.first + chunk.count, 3, 80);
        const int width = (shape.heads + 2 * shape.kv_heads) * shape.head_dim, out_width = shape.heads * shape.head_dim;
        const std::vector<float> qkv = random_floats(static_cast<std::size_t>(chunk.count * width), 1, 81), gate_weight = random_floats(2 * static_cast<std::size_t>(out_width), 0.2f, 82),
                                 gate_bias = random_floats(2 * static_cast<std::size_t>(shape.heads), 1, 83);
        const Buffer<int> table(std::vector<int>(static_cast<std::size_t>(chunk.count), 0)), first(std::vector<int>(static_cast<std::size_t>(chunk.count), chunk.oldest));
        cuda::Rows rows;
        rows.table = table.data;
        rows.first = first.data;
        rows.pages = cache.page_memory.data;
        rows.table_stride = cache.pages_a_table;
        const Buffer<float> qkv_memory(qkv), weight_memory(gate_weight), bias_memory(gate_bias);
        Buffer<float> out(static_cast<std::size_t>(chunk.count * out_width));
        api->prefill_attention(stream, out.data, qkv_memory.data, cache.view(), {weight_memory.data, out_width, 2}, {bias_memory.data, shape.heads, 2}, rows, chunk.count, shape, chunk.window, chunk.r, chunk.first);
        const std::vector<float> got = out.get();
        std::vector<double> want(got.size());
        in_parallel(static_cast<std::size_t>(chunk.count), [&](std::size_t row) {
          const std::vector<double> one = attend(qkv.data() + row * static_cast<std::size_t>(width), cache, {chunk.first + static_cast<int>(row), chunk.r, 0, chunk.oldest}, gain_of(gate_weight, 2, chunk.r), gain_of(gate_bias, 2, chunk.r), chunk.window);
          std::copy(one.begin(), one.end(), want.begin() + static_cast<std::ptrdiff_t>(row) * out_width);
        });
        group.check("heads " + std::to_string(shape.heads) + "x" + std::to_string(shape.head_dim) + " chunk " + std::to_string(chunk.first) + "+" + std::to_string(chunk.count) + " loop " + std::to_string(chunk.r),
                    relative_error(got, want), shape.head_dim <= 64 ? 5e-5 : 6e-3);
      }
    }
  }
}

}  // namespace

void test_prefill() {
  if (!api->prefill_ready()) {
    std::printf("skip prefill_linear: %s\n", api->last_error());
    api->clear_error();
  } else {
    test_product();
  }
  test_chunks();
}

}  // namespace gpu
