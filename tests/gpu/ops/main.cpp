// Tests every operation of the CUDA plug-in against plain loops on the host: gpu_ops PLUGIN.so [--quick] [--bench SHAPE].
#include <dlfcn.h>

#include "tests/gpu/ops/harness.h"

namespace gpu {

const cuda::Api* api = nullptr;
cuda::Stream stream = nullptr;
int failures = 0;
bool quick = false;

HostMatrix make_matrix(cuda::Type type, int rows, int cols, int group, bool zeros, std::uint32_t seed) {
  HostMatrix m{type, rows, cols, group, {}, {}, {}, {}};
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, 1 / std::sqrt(static_cast<float>(cols)));
  const auto count = static_cast<std::size_t>(rows) * static_cast<std::size_t>(cols);
  m.values.resize(count);
  const auto put16 = [&](std::size_t i, std::uint16_t bits) { std::memcpy(m.data.data() + 2 * i, &bits, 2); };
  if (type == cuda::Type::f32 || type == cuda::Type::bf16 || type == cuda::Type::f16) {
    m.data.resize(count * (type == cuda::Type::f32 ? 4 : 2));
    for (std::size_t i = 0; i < count; ++i) {
      m.values[i] = normal(random);
      if (type == cuda::Type::f32) {
        std::memcpy(m.data.data() + 4 * i, &m.values[i], 4);
      } else if (type == cuda::Type::bf16) {
        put16(i, to_bf16(m.values[i]));
        m.values[i] = from_bf16(to_bf16(m.values[i]));
      } else {
        const auto bits = static_cast<std::uint16_t>(random() & 0x83ff) | static_cast<std::uint16_t>(5 + random() % 8) << 10;
        put16(i, static_cast<std::uint16_t>(bits));
        m.values[i] = from_f16(static_cast<std::uint16_t>(bits));
      }
    }
    m.group = 0;
    return m;
  }
  const int per_row = cols / group;
  m.scales.resize(static_cast<std::size_t>(rows) * static_cast<std::size_t>(per_row));
  // Scales that half precision holds exactly, as checkpoints have them.
  for (float& scale : m.scales) scale = from_f16(static_cast<std::uint16_t>((6 + random() % 3) << 10 | (random() & 1023)));
  if (zeros) {
    m.zeros.resize(m.scales.size());
    for (auto& zero : m.zeros) zero = static_cast<std::uint8_t>(random() % 16);
  }
  m.data.resize(type == cuda::Type::int8 ? count : (count + 1) / 2);
  for (auto& byte : m.data) byte = static_cast<std::uint8_t>(random());
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t index = i / static_cast<std::size_t>(cols) * static_cast<std::size_t>(per_row) + i % static_cast<std::size_t>(cols) / static_cast<std::size_t>(group);
    const int byte = m.data[type == cuda::Type::int8 ? i : i / 2];
    const int q = type == cuda::Type::int8 ? static_cast<std::int8_t>(byte) : (i % 2 ? byte >> 4 : byte & 15) - (zeros ? m.zeros[index] : 8);
    m.values[i] = static_cast<float>(q) * m.scales[index];
  }
  return m;
}

DeviceMatrix pack(const std::vector<const HostMatrix*>& parts, bool interleave) {
  int rows = 0;
  for (const HostMatrix* part : parts) rows += part->rows;
  DeviceMatrix out;
  out.matrix = api->layout(parts[0]->type, rows, parts[0]->cols, parts[0]->group, !parts[0]->zeros.empty());
  out.memory = Buffer<std::uint8_t>(out.matrix.bytes);
  out.matrix.data = out.memory.data;
  api->pack_padding(stream, out.matrix);
  int first = 0;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const HostMatrix& part = *parts[i];
    const Buffer<std::uint8_t> data(part.data);
    const Buffer<float> scales(part.scales);
    const Buffer<std::uint8_t> zeros(part.zeros);
    const cuda::RowOrder order = !interleave ? cuda::RowOrder::plain : i == 0 ? cuda::RowOrder::gate : cuda::RowOrder::up;
    api->pack(stream, out.matrix, interleave ? 0 : first, order,
              {part.type, part.rows, part.cols, part.group, data.data, scales.data, part.zeros.empty() ? nullptr : zeros.data});
    sync("pack");
    first += part.rows;
  }
  return out;
}

std::vector<double> product(const std::vector<float>& x, const HostMatrix& matrix, int rows) {
  const auto cols = static_cast<std::size_t>(matrix.cols);
  const auto outputs = static_cast<std::size_t>(matrix.rows);
  std::vector<double> out(static_cast<std::size_t>(rows) * outputs);
  in_parallel(outputs, [&](std::size_t o) {
    const float* w = matrix.values.data() + o * cols;
    for (std::size_t row = 0; row < static_cast<std::size_t>(rows); ++row) {
      double sum = 0;
      for (std::size_t i = 0; i < cols; ++i) sum += static_cast<double>(w[i]) * static_cast<double>(x[row * cols + i]);
      out[row * outputs + o] = sum;
    }
  });
  return out;
}

std::vector<float> normed(const std::vector<float>& x, const std::vector<float>& gain, int rows, int width, float eps) {
  std::vector<float> out(x.size());
  const auto n = static_cast<std::size_t>(width);
  for (std::size_t row = 0; row < static_cast<std::size_t>(rows); ++row) {
    double sum = 0;
    for (std::size_t i = 0; i < n; ++i) sum += static_cast<double>(x[row * n + i]) * static_cast<double>(x[row * n + i]);
    const double scale = 1 / std::sqrt(sum / width + static_cast<double>(eps));
    for (std::size_t i = 0; i < n; ++i) out[row * n + i] = static_cast<float>(x[row * n + i] * scale * (gain.empty() ? 1.0 : static_cast<double>(gain[i])));
  }
  return out;
}

}  // namespace gpu

int main(int argc, char** argv) {
  using namespace gpu;
  if (argc < 2) {
    std::puts("usage: gpu_ops PLUGIN.so [--quick] [--only linear|attention|small|prefill|pass|model] [--bench 40b|7b|default]...");
    return 2;
  }
  void* library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    std::printf("FAILED %s\n", dlerror());
    return 1;
  }
  const auto entry = reinterpret_cast<const cuda::Api* (*)(int)>(dlsym(library, cuda::kEntryPoint));
  api = entry ? entry(cuda::kVersion) : nullptr;
  if (!api || entry(cuda::kVersion + 1)) {
    std::puts("FAILED the plug-in's entry point");
    return 1;
  }
  if (api->device_count() < 1) {
    std::printf("skip: %s\n", api->last_error());
    return 77;
  }
  cuda::DeviceInfo info;
  if (!api->use_device(0) || !api->device_info(&info, 0)) die("device 0");
  std::printf("%s, compute capability %d.%d, %d multiprocessors, L2 %zu MiB, %zu of %zu MiB free\n", info.name, info.major, info.minor,
              info.multiprocessors, info.l2_bytes >> 20, info.free_bytes >> 20, info.memory_bytes >> 20);
  stream = api->stream_create();

  std::string only;
  std::vector<std::string> shapes;
  for (int i = 2; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--quick") quick = true;
    if (argument == "--only" && i + 1 < argc) only = argv[++i];
    if (argument == "--bench" && i + 1 < argc) shapes.push_back(argv[++i]);
  }
  if (shapes.empty()) {
    if (only.empty() || only == "linear") test_linear();
    if (only.empty() || only == "small") test_small();
    if (only.empty() || only == "attention") test_attention();
    if (only.empty() || only == "prefill") test_prefill();
    if (only.empty() || only == "pass") test_pass();
    if (only.empty() || only == "model") test_model();
    std::printf(failures ? "FAILED %d cases\n" : "all operations agree\n", failures);
  }
  for (const std::string& shape : shapes) bench(shape);
  return failures ? 1 : 0;
}
