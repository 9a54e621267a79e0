// The decode product over kinds of weights, odd shapes, rows 1 to 16 and all epilogues.
#include "tests/gpu/ops/harness.h"

namespace gpu {
namespace {

constexpr float kEps = 1e-5f;

struct Case {
  const char* name;
  cuda::Type type;
  int group;  // 0: all columns
  bool zeros;
  int rows, cols;
};

void try_matrix(Group& group, const Case& c, std::uint32_t seed) {
  const HostMatrix host = make_matrix(c.type, c.rows, c.cols, c.group ? c.group : c.cols, c.zeros, seed);
  const DeviceMatrix device = pack({&host});
  const std::vector<float> x = random_floats(16 * static_cast<std::size_t>(c.cols), 2, seed + 1);
  // Gains of two loops; a third takes the second's, and rows that sit out take any.
  const std::vector<float> gain = random_floats(2 * static_cast<std::size_t>(c.cols), 1, seed + 2);
  const std::vector<int> loops = {2, 1, 3, 2, 0, 1, 2, 3, 1, 1, 2, 5, 1, 2, 1, 2};
  const Buffer<int> loops_memory(loops);
  std::vector<float> normed_x;
  for (std::size_t row = 0; row < 16; ++row) {
    const auto begin = x.begin() + static_cast<std::ptrdiff_t>(row) * c.cols;
    const std::vector<float> one = normed({begin, begin + c.cols}, gain_of(gain, 2, loops[row]), 1, c.cols, kEps);
    normed_x.insert(normed_x.end(), one.begin(), one.end());
  }
  const std::vector<double> plain = product(x, host, 16);
  const std::vector<double> with_norm = product(normed_x, host, 16);
  const Buffer<float> x_memory(x), gain_memory(gain);
  Buffer<float> out(16 * static_cast<std::size_t>(c.rows));
  Workspace workspace(api->linear_workspace(device.matrix, 16));
  std::vector<float> alone[2];
  for (const int rows : {1, 3, 5, 8, 13, 16}) {
    for (const bool norm : {false, true}) {
      out.poison();
      api->linear(stream, out.data, x_memory.data, norm ? cuda::Gain{gain_memory.data, c.cols, 2} : cuda::Gain{}, device.matrix, rows, kEps, cuda::Epilogue::store, loops_memory.data, workspace.view);
      std::vector<float> got = out.get();
      got.resize(static_cast<std::size_t>(rows * c.rows));
      std::vector<double> want = norm ? with_norm : plain;
      want.resize(got.size());
      const std::string which = std::string(c.name) + " " + std::to_string(c.rows) + "x" + std::to_string(c.cols) + " rows " + std::to_string(rows) + (norm ? " normed" : "");
      const bool one_bf16 = rows > 8 && c.cols > 3000;
      group.check(which, relative_error(got, want), one_bf16 ? 4e-3 : 3e-5);
      // A row must not depend on its neighbours by a single bit.
      if (rows == 1) alone[norm] = got;
      if (!one_bf16) group.check(which + " row 0 alone", std::memcmp(got.data(), alone[norm].data(), static_cast<std::size_t>(c.rows) * sizeof(float)) == 0 ? 0 : 1, 0);
    }
  }
  // out += y, except in rows that sit this loop out.
  const std::vector<float> before = random_floats(16 * static_cast<std::size_t>(c.rows), 1, seed + 3);
  const std::vector<int> loop = {1, 0, 2, 3, 0};
  const Buffer<int> loop_memory(loop);
  out.set(before);
  api->linear(stream, out.data, x_memory.data, {}, device.matrix, 5, kEps, cuda::Epilogue::add, loop_memory.data, workspace.view);
  std::vector<float> got = out.get();
  std::vector<double> want(before.begin(), before.end());
  for (std::size_t i = 0; i < static_cast<std::size_t>(5 * c.rows); ++i) want[i] += loop[i / static_cast<std::size_t>(c.rows)] ? plain[i] : 0;
  group.check(std::string(c.name) + " add", relative_error(got, want), 3e-5);
}

void try_swiglu(Group& group, cuda::Type type, int quant_group, int width, int cols, std::uint32_t seed) {
  const HostMatrix gate = make_matrix(type, width, cols, quant_group, false, seed);
  const HostMatrix up = make_matrix(type, width, cols, quant_group, false, seed + 1);
  const DeviceMatrix device = pack({&gate, &up}, true);
  const std::vector<float> x = random_floats(16 * static_cast<std::size_t>(cols), 1, seed + 2);
  const Buffer<float> x_memory(x);
  Buffer<float> out(16 * static_cast<std::size_t>(width));
  Workspace workspace(api->linear_workspace(device.matrix, 16));
  const std::vector<double> g = product(x, gate, 16);
  const std::vector<double> u = product(x, up, 16);
  for (const int rows : {1, 4, 8}) {
    out.poison();
    api->linear(stream, out.data, x_memory.data, {}, device.matrix, rows, kEps, cuda::Epilogue::swiglu, nullptr, workspace.view);
    std::vector<float> got = out.get();
    got.resize(static_cast<std::size_t>(rows * width));
    std::vector<double> want(got.size());
    for (std::size_t i = 0; i < want.size(); ++i) want[i] = g[i] / (1 + std::exp(-g[i])) * u[i];
    group.check(std::to_string(width) + "x" + std::to_string(cols) + " rows " + std::to_string(rows), relative_error(got, want), 3e-5);
  }
}

}  // namespace

void test_linear() {
  using cuda::Type;
  struct Kind {
    const char* name;
    Type type;
    int group;
    bool zeros;
  };
  const Kind kinds[] = {{"int4 g64", Type::int4, 64, false},   {"int4 g128", Type::int4, 128, false}, {"int4 g32", Type::int4, 32, false},
                        {"int4 g128 zeros", Type::int4, 128, true}, {"int4 g16", Type::int4, 16, false}, {"int8 per row", Type::int8, 0, false},
                        {"int8 g64", Type::int8, 64, false},   {"bf16", Type::bf16, 0, false},        {"f16", Type::f16, 0, false},
                        {"f32", Type::f32, 0, false}};
  std::uint32_t seed = 1;
  for (const Kind& kind : kinds) {
    Group group(std::string("linear ") + kind.name);
    std::vector<std::pair<int, int>> shapes = {{37, 128}, {1280, 768}, {768, 2048}};
    if (kind.group == 0) shapes.insert(shapes.end(), {{97, 32}, {50, 1000}, {33, 999}});
    if (kind.group == 32 || kind.group == 16) shapes.push_back({97, 96});
    if (!quick) shapes.insert(shapes.end(), {{896, 5120}, {200, 27648}, {5120, 1024}});
    for (const auto& [rows, cols] : shapes) try_matrix(group, {kind.name, kind.type, kind.group, kind.zeros, rows, cols}, seed += 10);
  }
  Group group("linear swiglu");
  try_swiglu(group, Type::int4, 64, 2048, 768, 901);
  try_swiglu(group, Type::bf16, 0, 48, 32, 902);
  try_swiglu(group, Type::f32, 0, 44, 96, 903);
  if (!quick) try_swiglu(group, Type::int4, 128, 1024, 27648, 904);
}

}  // namespace gpu
