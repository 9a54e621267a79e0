// The CUDA plug-in's table of functions in plain C++ loops on host memory: shows, where there is no GPU, that the CUDA
// forward, its pages and its batches do what the CPU specification does. It follows the comments of cuda/plugin.h.
#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "cuda/plugin.h"

// What the handles of the table point to.
struct cuda::StreamHandle {
  bool recording = false;
  std::vector<std::function<void()>> recorded;
};
struct cuda::GraphHandle {
  std::vector<std::function<void()>> steps;
};

namespace {

using namespace cuda;

std::string error;          // of the last call that failed
bool lost = false;          // as after a sticky CUDA error
std::size_t in_use = 0;
long steps_left = -1;       // operations until the device is lost; LOOPD_PLAIN_LOST_AFTER counts from load on

std::size_t number(const char* name, std::size_t otherwise) {
  const char* text = std::getenv(name);
  return text ? std::strtoull(text, nullptr, 10) : otherwise;
}
std::size_t memory() { return number("LOOPD_PLAIN_MEMORY_MB", 4096) << 20; }

// Runs now, or is recorded.
void submit(Stream stream, std::function<void()> work) {
  if (stream->recording) {
    stream->recorded.push_back(std::move(work));
  } else {
    work();
  }
}
bool working() {
  if (lost) error = "the device is gone";
  return !lost;
}

std::size_t at(long long i) { return static_cast<std::size_t>(i); }
float rounded(float value) { return std::bit_cast<float>((std::bit_cast<std::uint32_t>(value) + 0x8000u) & 0xffff0000u); }

float half(std::uint16_t bits) {
  const int exponent = bits >> 10 & 31;
  const float mantissa = static_cast<float>(bits & 1023);
  const float value = exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(mantissa + 1024, exponent - 25);
  return bits & 0x8000 ? -value : value;
}

// Matrices are kept as plain floats [rows][cols].
float raw_weight(const RawMatrix& raw, int row, int col) {
  const std::size_t index = at(row) * at(raw.cols) + at(col);
  const auto* bytes = static_cast<const std::uint8_t*>(raw.data);
  std::uint16_t word = 0;
  const float scale = raw.group > 0 ? raw.scales[at(row) * at(raw.cols / raw.group) + at(col / raw.group)] : 1;
  switch (raw.type) {
    case Type::f32: return static_cast<const float*>(raw.data)[index];
    case Type::f16: std::memcpy(&word, bytes + 2 * index, 2); return half(word);
    case Type::bf16: std::memcpy(&word, bytes + 2 * index, 2); return std::bit_cast<float>(std::uint32_t{word} << 16);
    case Type::int8: return static_cast<float>(static_cast<std::int8_t>(bytes[index])) * scale;
    case Type::int4: return static_cast<float>((bytes[index / 2] >> (index % 2 * 4) & 15) - 8) * scale;
    case Type::fp8: break;
  }
  return 0;
}

Matrix layout(Type type, int rows, int cols, int group, bool) {
  Matrix matrix;
  matrix.packed = type == Type::int4 ? Packed::int4 : type == Type::int8 ? Packed::int8 : type == Type::bf16 ? Packed::bf16 : Packed::pair;
  matrix.rows = rows;
  matrix.cols = cols;
  matrix.group = group;
  matrix.bytes = at(rows) * at(cols) * sizeof(float);
  return matrix;
}

void pack(Stream stream, const Matrix& out, int first_row, RowOrder order, const RawMatrix& raw) {
  submit(stream, [=] {
    auto* weights = static_cast<float*>(out.data);
    for (int row = 0; row < raw.rows; ++row) {
      const int to = order == RowOrder::plain ? first_row + row : row / 8 * 16 + row % 8 + (order == RowOrder::up ? 8 : 0);
      for (int col = 0; col < raw.cols; ++col) weights[at(to) * at(out.cols) + at(col)] = raw_weight(raw, row, col);
    }
  });
}

void pack_padding(Stream stream, const Matrix& out) {
  submit(stream, [=] { std::memset(out.data, 0, out.bytes); });
}

void random_floats(Stream stream, float* out, std::size_t count, float mean, float spread, std::uint64_t seed) {
  submit(stream, [=] {
    std::mt19937_64 random(seed);
    for (std::size_t i = 0; i < count; ++i) out[i] = mean + spread * (static_cast<float>(random() >> 40) * 0x1p-23f - 1);
  });
}
void random_matrix(Stream stream, const Matrix& out, std::uint64_t seed) {
  random_floats(stream, static_cast<float*>(out.data), at(out.rows) * at(out.cols), 0, 1 / std::sqrt(static_cast<float>(out.cols)), seed);
}

void rope_table(Stream stream, float* table, int positions, int head_dim, double theta) {
  submit(stream, [=] {
    for (int p = 0; p < positions; ++p) {
      for (int i = 0; i < head_dim / 2; ++i) {
        const double angle = p * std::pow(theta, -2.0 * i / head_dim);
        table[(at(p) * at(head_dim / 2) + at(i)) * 2] = static_cast<float>(std::cos(angle));
        table[(at(p) * at(head_dim / 2) + at(i)) * 2 + 1] = static_cast<float>(std::sin(angle));
      }
    }
  });
}

void norm(float* out, const float* x, const float* gain, int width, float eps) {
  double sum = 0;
  for (int i = 0; i < width; ++i) sum += static_cast<double>(x[i]) * x[i];
  const double scale = 1 / std::sqrt(sum / width + static_cast<double>(eps));
  for (int i = 0; i < width; ++i) out[i] = static_cast<float>(x[i] * scale) * (gain ? gain[i] : 1);
}

const float* of(const Gain& gain, int loop) { return gain.data ? gain.data + at(std::min(loop, gain.loops) - 1) * at(gain.stride) : nullptr; }

void enter(Stream stream, float* out, const float* state, const Matrix& embedding, const Gain& input_gain, const Gain& state_gain,
           const Rows& rows, int count, int width, float eps) {
  submit(stream, [=] {
    std::vector<float> a(at(width)), b(at(width));
    for (int row = 0; row < count; ++row) {
      const int loop = rows.loop[row];
      if (loop == 0) continue;
      const float* embedded = static_cast<const float*>(embedding.data) + at(rows.token[row]) * at(width);
      float* to = out + at(row) * at(width);
      const float* from = state + at(row) * at(width);
      if (!input_gain.data) {
        std::memmove(to, loop == 1 ? embedded : from, at(width) * sizeof(float));
        continue;
      }
      norm(a.data(), embedded, of(input_gain, loop), width, eps);
      if (loop > 1) {
        norm(b.data(), from, of(state_gain, loop - 1), width, eps);
        for (int i = 0; i < width; ++i) a[at(i)] += b[at(i)];
      }
      std::copy(a.begin(), a.end(), to);
    }
  });
}

void linear(Stream stream, float* out, const float* x, const Gain& gain, const Matrix& matrix, int rows, float eps, Epilogue epilogue,
            const int* loop, const Workspace&) {
  submit(stream, [=] {
    const auto* weights = static_cast<const float*>(matrix.data);
    std::vector<float> in(at(matrix.cols)), y(at(matrix.rows));
    for (int row = 0; row < rows; ++row) {
      const float* from = x + at(row) * at(matrix.cols);
      if (gain.data) {
        norm(in.data(), from, of(gain, loop ? std::max(loop[row], 1) : 1), matrix.cols, eps);
      } else {
        std::copy_n(from, matrix.cols, in.begin());
      }
      for (int o = 0; o < matrix.rows; ++o) {
        double sum = 0;
        for (int i = 0; i < matrix.cols; ++i) sum += static_cast<double>(weights[at(o) * at(matrix.cols) + at(i)]) * in[at(i)];
        y[at(o)] = static_cast<float>(sum);
      }
      if (epilogue == Epilogue::swiglu) {
        float* to = out + at(row) * at(matrix.rows / 2);
        for (int i = 0; i < matrix.rows / 2; ++i) {
          const float g = y[at(i / 8 * 16 + i % 8)], up = y[at(i / 8 * 16 + i % 8 + 8)];
          to[i] = g / (1 + std::exp(-g)) * up;
        }
      } else {
        float* to = out + at(row) * at(matrix.rows);
        for (int i = 0; i < matrix.rows; ++i) {
          if (epilogue == Epilogue::store) to[i] = y[at(i)];
          if (epilogue == Epilogue::add && (!loop || loop[row] != 0)) to[i] += y[at(i)];
        }
      }
    }
  });
}

// Element of the cache, kept as bfloat16.
std::uint16_t* element(void* cache, const Rows& rows, int row, int loop, int position, const HeadShape& shape, int head, int i) {
  const int page = rows.pages[at(rows.table[row] + loop - 1) * at(rows.table_stride) + at(position / kPage)];
  const std::size_t index = ((at(page) * at(shape.kv_heads) + at(head)) * kPage + at(position % kPage)) * at(shape.head_dim) + at(i);
  return static_cast<std::uint16_t*>(cache) + index;
}
float read(const std::uint16_t* bits) { return std::bit_cast<float>(std::uint32_t{*bits} << 16); }
void write(std::uint16_t* bits, float value) { *bits = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(rounded(value)) >> 16); }

void rope_write(Stream stream, float* qkv, const KvCache& cache, const float* bias, const Gain& q_gain, const Gain& k_gain,
                const float* table, const Rows& rows, int count, const HeadShape& shape, float eps) {
  submit(stream, [=] {
    const int dim = shape.head_dim, all = shape.heads + 2 * shape.kv_heads;
    for (int row = 0; row < count; ++row) {
      if (rows.loop[row] == 0) continue;
      for (int head = 0; head < all; ++head) {
        float* x = qkv + (at(row) * at(all) + at(head)) * at(dim);
        for (int i = 0; bias && i < dim; ++i) x[i] += bias[head * dim + i];
        const bool value = head >= shape.heads + shape.kv_heads;
        const float* gain = value ? nullptr : of(head < shape.heads ? q_gain : k_gain, rows.loop[row]);
        if (gain) {
          const std::vector<float> copy(x, x + dim);
          norm(x, copy.data(), gain, dim, eps);
        }
        for (int i = 0; !value && i < dim / 2; ++i) {
          const float* turn = table + (at(rows.position[row]) * at(dim / 2) + at(i)) * 2;
          const float a = x[i], b = x[i + dim / 2];
          x[i] = a * turn[0] - b * turn[1];
          x[i + dim / 2] = b * turn[0] + a * turn[1];
        }
        if (head < shape.heads) continue;
        for (int i = 0; i < dim; ++i) {
          write(element(value ? cache.values : cache.keys, rows, row, rows.loop[row], rows.position[row], shape, (head - shape.heads) % shape.kv_heads, i), x[i]);
        }
      }
    }
  });
}

void attend(float* out, const float* query, const KvCache& cache, const Rows& rows, int row, int loop, int begin, const HeadShape& shape, int head) {
  const int kv_head = head / (shape.heads / shape.kv_heads);
  std::vector<double> weights;
  double largest = -INFINITY, total = 0;
  for (int s = begin; s <= rows.position[row]; ++s) {
    double score = 0;
    for (int i = 0; i < shape.head_dim; ++i) score += static_cast<double>(query[i]) * read(element(cache.keys, rows, row, loop, s, shape, kv_head, i));
    weights.push_back(score / std::sqrt(static_cast<double>(shape.head_dim)));
    largest = std::max(largest, weights.back());
  }
  for (double& weight : weights) total += weight = std::exp(weight - largest);
  for (int i = 0; i < shape.head_dim; ++i) {
    double sum = 0;
    for (int s = begin; s <= rows.position[row]; ++s) sum += weights[at(s - begin)] * read(element(cache.values, rows, row, loop, s, shape, kv_head, i));
    out[i] = static_cast<float>(sum / total);
  }
}

void attention(Stream stream, float* out, const float* qkv, const KvCache& cache, const Gain& gate_weight, const Gain& gate_bias,
               const Rows& rows, int count, const HeadShape& shape, int window, int, const Workspace&) {
  submit(stream, [=] {
    const int dim = shape.head_dim, all = shape.heads + 2 * shape.kv_heads;
    std::vector<float> local(at(dim));
    for (int row = 0; row < count; ++row) {
      const int loop = rows.loop[row];
      if (loop == 0) continue;
      for (int head = 0; head < shape.heads; ++head) {
        const float* query = qkv + (at(row) * at(all) + at(head)) * at(dim);
        float* to = out + (at(row) * at(shape.heads) + at(head)) * at(dim);
        attend(to, query, cache, rows, row, 1, 0, shape, head);
        if (loop == 1) continue;
        attend(local.data(), query, cache, rows, row, loop, std::max(rows.first ? rows.first[row] : 0, rows.position[row] + 1 - window), shape, head);
        float dot = of(gate_bias, loop)[head];
        for (int i = 0; i < dim; ++i) dot += query[i] * of(gate_weight, loop)[head * dim + i];
        const float g = 1 / (1 + std::exp(-dot));
        for (int i = 0; i < dim; ++i) to[i] = g * to[i] + (1 - g) * local[at(i)];
      }
    }
  });
}

// The single operations, one after the other.
void pass(Stream stream, float* hidden, const PassShape& shape, const PassLayer* layers, const Rows& rows, int count, const Workspace&) {
  if (count > kMaxPassRows) std::abort();
  const std::vector<PassLayer> all(layers, layers + shape.layers);
  submit(stream, [=] {
    const HeadShape& heads = shape.heads;
    std::vector<float> qkv(at(count) * at((heads.heads + 2 * heads.kv_heads) * heads.head_dim)), mixed(at(count) * at(heads.heads * heads.head_dim)), inner(at(count) * at(shape.inner));
    StreamHandle now;
    for (const PassLayer& layer : all) {
      linear(&now, qkv.data(), hidden, layer.input_gain, layer.qkv, count, shape.eps, Epilogue::store, rows.loop, {});
      rope_write(&now, qkv.data(), layer.cache, layer.qkv_bias, layer.q_gain, layer.k_gain, shape.rope, rows, count, heads, shape.eps);
      attention(&now, mixed.data(), qkv.data(), layer.cache, layer.gate_weight, layer.gate_bias, rows, count, heads, shape.window, 1, {});
      linear(&now, hidden, mixed.data(), {}, layer.o, count, shape.eps, Epilogue::add, rows.loop, {});
      linear(&now, inner.data(), hidden, layer.attention_gain, layer.gate_up, count, shape.eps, Epilogue::swiglu, rows.loop, {});
      linear(&now, hidden, inner.data(), {}, layer.down, count, shape.eps, Epilogue::add, rows.loop, {});
    }
  });
}

void argmax(Stream stream, Choice* out, const float* logits, int rows, int vocab, const std::uint32_t* allowed, const int* mask, int bias_token, float bias) {
  submit(stream, [=] {
    for (int row = 0; row < rows; ++row) {
      const float* own = logits + at(row) * at(vocab);
      const std::uint32_t* bits = allowed && mask && mask[row] >= 0 ? allowed + at(mask[row]) * at((vocab + 31) / 32) : nullptr;
      Choice choice{-1, 0, -INFINITY, -INFINITY};
      double largest = -INFINITY, total = 0;
      for (int i = 0; i < vocab; ++i) largest = std::max(largest, static_cast<double>(own[i]));
      for (int i = 0; i < vocab; ++i) {
        total += std::exp(own[i] - largest);
        if (bits && !(bits[i / 32] >> (i % 32) & 1)) continue;
        const float logit = own[i] + (i == bias_token ? bias : 0);
        if (logit > choice.best) {
          choice.second = choice.best;
          choice.best = logit;
          choice.token = i;
        } else {
          choice.second = std::max(choice.second, logit);
        }
      }
      if (choice.token >= 0) choice.logprob = static_cast<float>(own[choice.token] - largest - std::log(total));
      out[row] = choice;
    }
  });
}

void set_loop(Stream stream, const Rows& rows, int count, int r) {
  submit(stream, [=] {
    for (int row = 0; row < count; ++row) rows.loop[row] = rows.depth[row] >= r ? r : 0;
  });
}

void feed_back(Stream stream, const Rows& rows, const Choice* choices, int count, Choice* history, int history_stride, int* step) {
  submit(stream, [=] {
    for (int row = 0; row < count; ++row) {
      rows.token[row] = choices[row].token;
      ++rows.position[row];
      history[row * history_stride + *step] = choices[row];
    }
    ++*step;
  });
}

void scatter_states(Stream stream, float* states, const float* hidden, const long long* slot, const int* loop, int count, int width,
                    const long long* before, const Gain& carry) {
  submit(stream, [=] {
    for (int row = 0; row < count; ++row) {
      if (loop[row] == 0 || slot[row] < 0) continue;
      float* to = states + at(slot[row]) * at(width);
      std::copy_n(hidden + at(row) * at(width), width, to);
      if (loop[row] == 1 || !carry.data) continue;
      for (int i = 0; i < width; ++i) to[i] += of(carry, loop[row] - 1)[i] * states[at(before[row]) * at(width) + at(i)];
    }
  });
}

void gather_states(Stream stream, float* hidden, const float* states, const long long* slot, int count, int width) {
  submit(stream, [=] {
    for (int row = 0; row < count; ++row) {
      if (slot[row] >= 0) std::copy_n(states + at(slot[row]) * at(width), width, hidden + at(row) * at(width));
    }
  });
}

void prefill_linear(Stream stream, float* out, const float* x, const Gain& gain, const Matrix& matrix, int rows, float eps,
                    Epilogue epilogue, const int* loop, int, const Workspace& workspace) {
  linear(stream, out, x, gain, matrix, rows, eps, epilogue, loop, workspace);
}

void prefill_mlp(Stream stream, float* hidden, const Gain& gain, const Matrix& gate_up, const Matrix& down, int rows, float eps,
                 const int* loop, int, const Workspace& workspace) {
  submit(stream, [=] {
    std::vector<float> inner(at(rows) * at(down.cols));
    StreamHandle now;
    linear(&now, inner.data(), hidden, gain, gate_up, rows, eps, Epilogue::swiglu, loop, workspace);
    linear(&now, hidden, inner.data(), {}, down, rows, eps, Epilogue::add, loop, workspace);
  });
}

void prefill_attention(Stream stream, float* out, const float* qkv, const KvCache& cache, const Gain& gate_weight, const Gain& gate_bias,
                       const Rows& rows, int count, const HeadShape& shape, int window, int r, int first_position) {
  for (int row = 0; row < count; ++row) {
    if (rows.loop[row] != r || rows.position[row] != first_position + row) std::abort();
  }
  attention(stream, out, qkv, cache, gate_weight, gate_bias, rows, count, shape, window, 1, {});
}

bool device_info(DeviceInfo* out, int) {
  *out = {};
  std::strcpy(out->name, "plain loops");
  out->major = 9;
  out->memory_bytes = memory();
  out->free_bytes = memory() - in_use;
  return true;
}

// Every allocation remembers its size, and holds no number until something is written: NaN as float and as bfloat16.
void* device_alloc(std::size_t bytes) {
  if (in_use + bytes > memory()) {
    error = "out of memory: " + std::to_string(bytes) + " bytes were asked for";
    return nullptr;
  }
  auto* block = static_cast<std::size_t*>(std::aligned_alloc(64, (bytes + 127) / 64 * 64));
  *block = bytes;
  in_use += bytes;
  std::memset(block + 8, 0xff, bytes);
  return block + 8;
}
void device_free(void* memory) {
  if (!memory) return;
  auto* block = static_cast<std::size_t*>(memory) - 8;
  in_use -= *block;
  std::free(block);
}

bool copy(Stream stream, void* to, const void* from, std::size_t bytes) {
  if (!working()) return false;
  submit(stream, [=] { std::memcpy(to, from, bytes); });
  return true;
}

bool launch(Graph graph, Stream) {
  if (steps_left > 0 && --steps_left == 0) lost = true;
  if (!working()) return false;
  for (const auto& step : graph->steps) step();
  return true;
}

const Api table = [] {
  Api api{};
  api.version = kVersion;
  api.device_count = [] { return 1; };
  api.device_info = device_info;
  api.use_device = [](int) { return true; };
  api.usable = [] { return !lost; };
  api.last_error = [] { return error.c_str(); };
  api.clear_error = [] { error.clear(); };
  api.device_alloc = device_alloc;
  api.device_free = device_free;
  api.host_alloc = [](std::size_t bytes) { return std::malloc(bytes); };
  api.host_free = [](void* memory) { std::free(memory); };
  api.upload = copy;
  api.download = copy;
  api.copy = copy;
  api.fill = [](Stream stream, void* to, int byte, std::size_t bytes) {
    submit(stream, [=] { std::memset(to, byte, bytes); });
    return true;
  };
  api.stream_create = [] { return new StreamHandle; };
  api.stream_destroy = [](Stream stream) { delete stream; };
  // Other threads get a chance to queue their work, as they have while a GPU computes.
  api.sync = [](Stream) {
    std::this_thread::yield();
    return working();
  };
  api.graph_begin = [](Stream stream) {
    stream->recording = true;
    stream->recorded.clear();
    return true;
  };
  api.graph_end = [](Stream stream) {
    stream->recording = false;
    return new GraphHandle{std::move(stream->recorded)};
  };
  api.graph_launch = launch;
  api.graph_destroy = [](Graph graph) { delete graph; };
  api.measure_copy_bandwidth = [] { return 1e9; };
  api.mark = [](Stream, int) { return true; };
  api.elapsed_ms = [](Stream) { return 1.0; };
  api.layout = layout;
  api.pack_padding = pack_padding;
  api.pack = pack;
  api.random_matrix = random_matrix;
  api.random_floats = random_floats;
  api.rope_table = rope_table;
  api.linear_workspace = [](const Matrix&, int) -> std::size_t { return 64; };
  api.attention_workspace = [](const HeadShape&, int, int) -> std::size_t { return 64; };
  api.enter = enter;
  api.linear = linear;
  api.rope_write = rope_write;
  api.attention = attention;
  // As a real device: for int4 weights only.
  api.pass_rows = [](const PassShape&, const PassLayer* layers) { return layers->qkv.packed == Packed::int4 ? kMaxPassRows : 0; };
  api.pass_workspace = [](const PassShape&, const PassLayer*) -> std::size_t { return 64; };
  api.pass_prepare = [](Stream, const PassShape&, const PassLayer*, const Workspace&) { return true; };
  api.pass = pass;
  api.argmax = argmax;
  api.set_loop = set_loop;
  api.feed_back = feed_back;
  api.scatter_states = scatter_states;
  api.gather_states = gather_states;
  api.prefill_ready = [] { return std::getenv("LOOPD_PLAIN_NO_PREFILL") == nullptr; };
  api.prefill_workspace = [](const Matrix&, int, int) -> std::size_t { return 64; };
  api.prefill_linear = prefill_linear;
  api.prefill_mlp_workspace = [](const Matrix&, const Matrix&, int, int) -> std::size_t { return 64; };
  api.prefill_mlp = prefill_mlp;
  api.prefill_attention = prefill_attention;
  return api;
}();

}  // namespace

extern "C" const cuda::Api* loopd_cuda_api(int version) {
  lost = false;
  error.clear();
  steps_left = static_cast<long>(number("LOOPD_PLAIN_LOST_AFTER", 0));
  return version == cuda::kVersion ? &table : nullptr;
}
