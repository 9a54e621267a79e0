// What the GPU tests share: the plug-in's table, device buffers that start poisoned, seeded numbers and comparisons.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "cuda/plugin.h"

namespace gpu {

extern const cuda::Api* api;
extern cuda::Stream stream;
extern int failures;
extern bool quick;

// Ends the program with the plug-in's own words.
[[noreturn]] inline void die(const char* what) {
  std::printf("FAILED %s: %s\n", what, api->last_error());
  std::exit(1);
}
inline void sync(const char* what) {
  if (!api->sync(stream)) die(what);
}

template <typename T>
struct Buffer {
  T* data = nullptr;
  std::size_t size = 0;

  Buffer() = default;
  // Bytes 0xff: NaN as f32, bf16 and fp8, -1 as an integer.
  explicit Buffer(std::size_t count) : size(count) {
    data = static_cast<T*>(api->device_alloc(std::max<std::size_t>(count, 1) * sizeof(T)));
    if (!data) die("device memory");
    api->fill(stream, data, 0xff, std::max<std::size_t>(count, 1) * sizeof(T));
  }
  explicit Buffer(const std::vector<T>& values) : Buffer(values.size()) { set(values); }
  Buffer(Buffer&& other) noexcept : data(std::exchange(other.data, nullptr)), size(other.size) {}
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data, other.data);
    std::swap(size, other.size);
    return *this;
  }
  ~Buffer() {
    if (data) api->device_free(data);
  }
  void set(const std::vector<T>& values) {
    api->upload(stream, data, values.data(), values.size() * sizeof(T));
    sync("upload");
  }
  void poison() { api->fill(stream, data, 0xff, size * sizeof(T)); }
  std::vector<T> get() const {
    std::vector<T> values(size);
    api->download(stream, values.data(), data, size * sizeof(T));
    sync("download");
    return values;
  }
};

inline std::vector<float> random_floats(std::size_t count, float spread, std::uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, spread);
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

inline float from_bf16(std::uint16_t bits) {
  const std::uint32_t word = static_cast<std::uint32_t>(bits) << 16;
  float value;
  std::memcpy(&value, &word, sizeof value);
  return value;
}
inline std::uint16_t to_bf16(float value) {
  std::uint32_t word;
  std::memcpy(&word, &value, sizeof word);
  return static_cast<std::uint16_t>((word + 0x7fff + (word >> 16 & 1)) >> 16);
}
// OCP e4m3: no infinities, 0x7f is NaN.
inline float from_fp8(std::uint8_t bits) {
  const int exponent = bits >> 3 & 15;
  const int mantissa = bits & 7;
  const float magnitude = exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -9) : std::ldexp(static_cast<float>(8 + mantissa), exponent - 10);
  return bits & 128 ? -magnitude : magnitude;
}
inline float from_f16(std::uint16_t bits) {
  const int exponent = bits >> 10 & 31;
  const int mantissa = bits & 1023;
  const float magnitude = exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -24) : std::ldexp(static_cast<float>(1024 + mantissa), exponent - 25);
  return bits & 0x8000 ? -magnitude : magnitude;
}

// ||got - want|| / ||want||; NaN where any of `got` is.
inline double relative_error(const std::vector<float>& got, const std::vector<double>& want) {
  double difference = 0, norm = 0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    difference += (got[i] - want[i]) * (got[i] - want[i]);
    norm += want[i] * want[i];
  }
  return std::sqrt(difference / std::max(norm, 1e-30));
}

// A group of cases of one op: prints one line with the worst error, and a line for each case that fails.
class Group {
 public:
  explicit Group(std::string name) : name_(std::move(name)) {}
  ~Group() {
    std::printf("%s %-34s %4d cases, worst %.2e\n", failed_ ? "FAILED" : "ok", name_.c_str(), cases_, worst_);
    std::fflush(stdout);
    failures += failed_;
  }
  void check(const std::string& which, double error, double tolerance) {
    ++cases_;
    if (!(error <= worst_)) worst_ = error;
    if (error <= tolerance) return;
    if (++failed_ <= 6) std::printf("  FAILED %s %s: error %.3e, at most %.0e\n", name_.c_str(), which.c_str(), error, tolerance);
  }

 private:
  std::string name_;
  int cases_ = 0, failed_ = 0;
  double worst_ = 0;
};

// Runs work(i) for i < count on all cores.
template <typename Work>
void in_parallel(std::size_t count, const Work& work) {
  const std::size_t threads = std::max(1u, std::thread::hardware_concurrency());
  std::vector<std::thread> pool;
  for (std::size_t t = 0; t < threads; ++t) {
    pool.emplace_back([&, t] {
      for (std::size_t i = t; i < count; i += threads) work(i);
    });
  }
  for (std::thread& thread : pool) thread.join();
}

// Seeded weights of a checkpoint's kind, on the host as they are stored and as the numbers they mean.
struct HostMatrix {
  cuda::Type type;
  int rows, cols, group;
  std::vector<std::uint8_t> data;
  std::vector<float> scales;
  std::vector<std::uint8_t> zeros;
  std::vector<float> values;  // [rows][cols]
};
HostMatrix make_matrix(cuda::Type type, int rows, int cols, int group, bool zeros, std::uint32_t seed);
// Packs parts into one matrix; `interleave`: parts[0] is gate, parts[1] up.
struct DeviceMatrix {
  cuda::Matrix matrix;
  Buffer<std::uint8_t> memory;
};
DeviceMatrix pack(const std::vector<const HostMatrix*>& parts, bool interleave = false);

// x W^T with double sums, [rows][matrix.rows].
std::vector<double> product(const std::vector<float>& x, const HostMatrix& matrix, int rows);
std::vector<float> normed(const std::vector<float>& x, const std::vector<float>& gain, int rows, int width, float eps);

struct Workspace {
  Buffer<std::uint8_t> memory;
  cuda::Workspace view;
  explicit Workspace(std::size_t bytes) : memory(bytes), view{memory.data, bytes} { api->fill(stream, memory.data, 0, cuda::kWorkspaceCounters); }
};

// A cache of random keys and values with shuffled pages, and what it holds.
struct HostCache {
  cuda::HeadShape shape;
  cuda::Type type;
  int pages_a_table, tables;
  std::vector<int> pages;  // [tables][pages_a_table]
  std::vector<float> keys, values;
  Buffer<std::uint8_t> key_memory, value_memory;
  Buffer<int> page_memory;
  cuda::KvCache view() const { return {type, key_memory.data, value_memory.data}; }
  std::size_t at(int table, int position, int kv_head) const;
};
HostCache make_cache(const cuda::HeadShape& shape, cuda::Type type, int positions, int tables, std::uint32_t seed);

// Rows of gains as a model with own ones for its first `loops` loops has them: the part of loop r.
inline std::vector<float> gain_of(const std::vector<float>& all, int loops, int r) {
  const auto width = static_cast<std::ptrdiff_t>(all.size()) / loops;
  const auto row = static_cast<std::ptrdiff_t>(std::max(std::min(r, loops), 1) - 1);
  return {all.begin() + row * width, all.begin() + (row + 1) * width};
}

// Attention as plugin.h says, for one row.
struct RowPlan {
  int position, loop, table, first;
};
std::vector<double> attend(const float* qkv_row, const HostCache& cache, const RowPlan& row, const std::vector<float>& gate_weight,
                           const std::vector<float>& gate_bias, int window);

void test_linear();
void test_attention();
void test_small();
void test_prefill();
void test_pass();
void test_model();
void bench(const std::string& shape);

}  // namespace gpu
