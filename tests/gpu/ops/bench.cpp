// Times a whole synthetic decode step in a CUDA graph, and its operations, against the bandwidth of a copy.
#include <algorithm>
#include <cstdlib>
#include <memory>
#include <numeric>

#include "tests/gpu/ops/harness.h"

namespace gpu {
namespace {

struct Shape {
  const char* name;
  int width, ffn, layers, heads, kv_heads, head_dim, vocab;
  cuda::Type type;
  int group;
  cuda::Type head_type;
  int head_group;  // 0: per row
  bool loopd;
};

const Shape kShapes[] = {
    {"40b", 5120, 27648, 80, 40, 8, 128, 76800, cuda::Type::int4, 128, cuda::Type::int4, 128, false},
    {"7b", 5120, 27648, 14, 40, 8, 128, 76800, cuda::Type::int4, 128, cuda::Type::int4, 128, false},
    {"default", 768, 2048, 10, 12, 4, 64, 16384, cuda::Type::int4, 64, cuda::Type::int8, 0, true},
};

constexpr float kEps = 1e-5f;
constexpr int kSplits = 16;

struct Layer {
  DeviceMatrix qkv, o, gate_up, down;
  Buffer<std::uint8_t> keys, values;
};

DeviceMatrix random_matrix(cuda::Type type, int rows, int cols, int group, std::uint64_t seed) {
  DeviceMatrix m;
  m.matrix = api->layout(type, rows, cols, group ? group : cols, false);
  m.memory = Buffer<std::uint8_t>(m.matrix.bytes);
  m.matrix.data = m.memory.data;
  api->random_matrix(stream, m.matrix, seed);
  return m;
}

struct Model {
  const Shape& shape;
  cuda::HeadShape heads;
  DeviceMatrix embedding;
  std::vector<Layer> layers;
  Buffer<float> gain, hidden, qkv, mixed, inner, logits, rotation, gate_weight, gate_bias, input_gain;
  Buffer<int> token, position, loop, depth, table, pages, step;
  Buffer<cuda::Choice> choices, history;
  Workspace workspace;
  cuda::Rows rows;
  int qkv_width, q_width;
  std::size_t layer_bytes = 0;
  cuda::Type keys = cuda::Type::bf16;

  static std::size_t needed(const Shape& s) {
    const cuda::HeadShape heads{s.heads, s.kv_heads, s.head_dim};
    std::size_t bytes = api->attention_workspace(heads, 16, kSplits);
    for (const auto& [rows, cols] : {std::pair{s.width, s.ffn}, std::pair{2 * s.ffn, s.width}, std::pair{s.vocab, s.width}}) {
      bytes = std::max(bytes, api->linear_workspace(api->layout(s.type, rows, cols, s.group, false), 16));
    }
    return bytes;
  }

  Model(const Shape& s, int batch, int context, cuda::Type key_type = cuda::Type::bf16)
      : shape(s), heads{s.heads, s.kv_heads, s.head_dim}, workspace(needed(s)), qkv_width((s.heads + 2 * s.kv_heads) * s.head_dim), q_width(s.heads * s.head_dim) {
    const auto n = [](int a, int b = 1) { return static_cast<std::size_t>(a) * static_cast<std::size_t>(b); };
    keys = key_type;
    embedding = random_matrix(s.head_type, s.vocab, s.width, s.head_group, 1);
    const int pages_a_table = (context + 1024) / cuda::kPage + 1;  // steps move on at every replay
    const int tables = 2 * batch;
    const std::size_t page_bytes = n(s.kv_heads * cuda::kPage, s.head_dim) * 2;
    for (int i = 0; i < s.layers; ++i) {
      const auto seed = static_cast<std::uint64_t>(10 * i + 10);
      Layer layer{random_matrix(s.type, qkv_width, s.width, s.group, seed), random_matrix(s.type, s.width, q_width, s.group, seed + 1),
                  random_matrix(s.type, 2 * s.ffn, s.width, s.group, seed + 2), random_matrix(s.type, s.width, s.ffn, s.group, seed + 3), {}, {}};
      layer.keys = Buffer<std::uint8_t>(page_bytes * n(pages_a_table, tables));
      layer.values = Buffer<std::uint8_t>(layer.keys.size);
      api->fill(stream, layer.keys.data, 0x3c, layer.keys.size);
      api->fill(stream, layer.values.data, 0x3c, layer.values.size);
      layer_bytes += layer.qkv.matrix.bytes + layer.o.matrix.bytes + layer.gate_up.matrix.bytes + layer.down.matrix.bytes;
      layers.push_back(std::move(layer));
    }
    const int longest = context + 1024;
    gain = Buffer<float>(std::vector<float>(n(s.width), 1));
    input_gain = Buffer<float>(std::vector<float>(n(s.width, 6), 1));
    hidden = Buffer<float>(n(batch, s.width));
    qkv = Buffer<float>(n(batch, qkv_width));
    mixed = Buffer<float>(n(batch, q_width));
    inner = Buffer<float>(n(batch, s.ffn));
    logits = Buffer<float>(n(batch, s.vocab));
    rotation = Buffer<float>(n(longest, s.head_dim));
    api->rope_table(stream, rotation.data, longest, s.head_dim, 1e5);
    gate_weight = Buffer<float>(random_floats(n(q_width), 0.1f, 5));
    gate_bias = Buffer<float>(std::vector<float>(n(s.heads), 2));
    const auto all = [&](int value) { return Buffer<int>(std::vector<int>(n(batch), value)); };
    token = all(3), position = all(context), loop = all(1), depth = all(1), step = Buffer<int>(std::vector<int>{0});
    std::vector<int> table_of, page_list;
    for (int b = 0; b < batch; ++b) table_of.push_back(2 * b);
    for (int p = 0; p < pages_a_table * tables; ++p) page_list.push_back(p);
    table = Buffer<int>(table_of);
    pages = Buffer<int>(page_list);
    choices = Buffer<cuda::Choice>(n(batch));
    history = Buffer<cuda::Choice>(n(batch, 1024));
    rows.token = token.data, rows.position = position.data, rows.loop = loop.data, rows.depth = depth.data, rows.table = table.data, rows.pages = pages.data;
    rows.table_stride = pages_a_table;
    sync("making the model");
    prepare_pass();
  }

  // The same as one kernel; not possible for all shapes.
  cuda::PassShape pass_shape;
  std::vector<cuda::PassLayer> pass_layers;
  std::unique_ptr<Workspace> pass_space;
  bool use_pass = false;
  void prepare_pass() {
    pass_shape = {heads, shape.width, shape.ffn, shape.layers, 64, kEps, rotation.data};
    const cuda::Gain head_gain{shape.loopd ? gain.data : nullptr};
    pass_layers.clear();
    for (const Layer& layer : layers) {
      pass_layers.push_back({layer.qkv.matrix, layer.o.matrix, layer.gate_up.matrix, layer.down.matrix, {gain.data}, {gain.data}, nullptr, head_gain, head_gain,
                             {gate_weight.data}, {gate_bias.data}, {keys, layer.keys.data, layer.values.data}});
    }
    const std::size_t bytes = api->pass_workspace(pass_shape, pass_layers.data());
    // Also where it is not the faster way, to see by how much.
    use_pass = bytes > 0 && std::getenv("LOOPD_CUDA_NO_PASS") == nullptr;
    if (!use_pass) return;
    pass_space = std::make_unique<Workspace>(bytes);
    if (!api->pass_prepare(stream, pass_shape, pass_layers.data(), pass_space->view)) die("pass_prepare");
    sync("pass_prepare");
  }

  bool alone = false;  // wait after every operation, so that none overlaps another
  void after() {
    if (alone) sync("an operation alone");
  }

  void run_loop(int batch, int r) {
    const Shape& s = shape;
    const float* head_gain = s.loopd ? gain.data : nullptr;
    api->set_loop(stream, rows, batch, r), after();
    api->enter(stream, hidden.data, hidden.data, embedding.matrix, {s.loopd ? input_gain.data : nullptr, s.width, 6}, {}, rows, batch, s.width, kEps), after();
    if (use_pass && batch <= cuda::kMaxPassRows) {
      api->pass(stream, hidden.data, pass_shape, pass_layers.data(), rows, batch, pass_space->view), after();
      return;
    }
    for (const Layer& layer : layers) {
      const cuda::KvCache cache{keys, layer.keys.data, layer.values.data};
      api->linear(stream, qkv.data, hidden.data, {gain.data}, layer.qkv.matrix, batch, kEps, cuda::Epilogue::store, nullptr, workspace.view), after();
      api->rope_write(stream, qkv.data, cache, nullptr, {head_gain}, {head_gain}, rotation.data, rows, batch, heads, kEps), after();
      api->attention(stream, mixed.data, qkv.data, cache, {gate_weight.data}, {gate_bias.data}, rows, batch, heads, 64, kSplits, workspace.view), after();
      api->linear(stream, hidden.data, mixed.data, {}, layer.o.matrix, batch, kEps, cuda::Epilogue::add, rows.loop, workspace.view), after();
      api->linear(stream, inner.data, hidden.data, {gain.data}, layer.gate_up.matrix, batch, kEps, cuda::Epilogue::swiglu, nullptr, workspace.view), after();
      api->linear(stream, hidden.data, inner.data, {}, layer.down.matrix, batch, kEps, cuda::Epilogue::add, rows.loop, workspace.view), after();
    }
  }
  void choose(int batch) {
    api->linear(stream, logits.data, hidden.data, {gain.data}, embedding.matrix, batch, kEps, cuda::Epilogue::store, nullptr, workspace.view), after();
    api->argmax(stream, choices.data, logits.data, batch, shape.vocab, nullptr, nullptr, -1, 0), after();
    api->feed_back(stream, rows, choices.data, batch, history.data, 1024, step.data), after();
  }
};

// Milliseconds of one replay of what `record` enqueues, the median of several runs of `times` replays.
template <typename Record>
double time_graph(int times, const Record& record) {
  if (!api->graph_begin(stream)) die("graph_begin");
  record();
  const cuda::Graph graph = api->graph_end(stream);
  if (!graph) die("graph_end");
  std::vector<double> runs;
  for (int run = 0; run < 6; ++run) {
    api->mark(stream, 0);
    for (int i = 0; i < times; ++i) api->graph_launch(graph, stream);
    api->mark(stream, 1);
    const double ms = api->elapsed_ms(stream);
    if (ms <= 0) die("running a graph");
    if (run > 0) runs.push_back(ms / times);  // the first warms up
  }
  api->graph_destroy(graph);
  std::sort(runs.begin(), runs.end());
  return runs[runs.size() / 2];
}

// What a run of `steps` tokens at depth 2 leaves: the last logits and all choices.
struct Outcome {
  std::vector<float> logits;
  std::vector<cuda::Choice> history;
  bool operator==(const Outcome& other) const {
    return std::memcmp(logits.data(), other.logits.data(), logits.size() * sizeof(float)) == 0 &&
           std::memcmp(history.data(), other.history.data(), history.size() * sizeof(cuda::Choice)) == 0;
  }
};

Outcome run_steps(Model& model, int batch, int context, int steps, bool alone) {
  std::vector<int> token, position;
  for (int b = 0; b < batch; ++b) {
    token.push_back(3 + b);
    position.push_back(context - b);
  }
  model.token.set(token);
  model.position.set(position);
  model.depth.set(std::vector<int>(token.size(), 2));
  model.step.set({0});
  model.history.poison();
  model.alone = alone;
  const auto step = [&] {
    model.run_loop(batch, 1);
    model.run_loop(batch, 2);
    model.choose(batch);
  };
  if (alone) {
    for (int i = 0; i < steps; ++i) step();
  } else {
    if (!api->graph_begin(stream)) die("graph_begin");
    step();
    const cuda::Graph graph = api->graph_end(stream);
    if (!graph) die("graph_end");
    for (int i = 0; i < steps; ++i) api->graph_launch(graph, stream);
    sync("a graph of a step");
    api->graph_destroy(graph);
  }
  return {model.logits.get(), model.history.get()};
}

// One layer of a shape over a prompt of 8192 tokens in chunks, and what all layers would take for one loop.
void bench_prefill(const Shape& shape, int parts, int chunk, double rate) {
  constexpr int kPrompt = 8192;
  Shape one = shape;
  one.layers = 1;
  Model model(one, 1, kPrompt);
  const Layer& layer = model.layers[0];
  const auto n = [](int a, int b) { return static_cast<std::size_t>(a) * static_cast<std::size_t>(b); };
  Buffer<float> hidden(n(chunk, one.width)), qkv(n(chunk, model.qkv_width)), mixed(n(chunk, model.q_width));
  for (Buffer<float>* buffer : {&hidden, &qkv, &mixed}) api->random_floats(stream, buffer->data, buffer->size, 0, 1, 9);
  std::size_t bytes = api->prefill_mlp_workspace(layer.gate_up.matrix, layer.down.matrix, chunk, parts);
  for (const cuda::Matrix* m : {&layer.qkv.matrix, &layer.o.matrix}) bytes = std::max(bytes, api->prefill_workspace(*m, chunk, parts));
  Workspace workspace(bytes);
  const std::vector<int> zeros(n(chunk, 1), 0);
  const Buffer<int> position(zeros), loop(std::vector<int>(n(chunk, 1), 1)), table(zeros);
  cuda::Rows rows = model.rows;
  rows.position = position.data, rows.loop = loop.data, rows.table = table.data;
  const cuda::KvCache cache{cuda::Type::bf16, layer.keys.data, layer.values.data};
  double ms[6] = {};
  for (int first = 0; first < kPrompt; first += chunk) {
    std::vector<int> positions(n(chunk, 1));
    for (int i = 0; i < chunk; ++i) positions[n(i, 1)] = first + i;
    api->upload(stream, position.data, positions.data(), positions.size() * sizeof(int));
    const auto linear = [&](const DeviceMatrix& m, Buffer<float>& out, const Buffer<float>& x, const float* gain) {
      return time_graph(3, [&] { api->prefill_linear(stream, out.data, x.data, {gain}, m.matrix, chunk, kEps, cuda::Epilogue::store, nullptr, parts, workspace.view); });
    };
    const auto attention = [&](int r) {
      return time_graph(3, [&] { api->prefill_attention(stream, mixed.data, qkv.data, cache, {model.gate_weight.data}, {model.gate_bias.data}, rows, chunk, model.heads, 64, r, first); });
    };
    ms[0] += linear(layer.qkv, qkv, hidden, model.gain.data);
    ms[1] += time_graph(3, [&] { api->rope_write(stream, qkv.data, cache, nullptr, {}, {}, model.rotation.data, rows, chunk, model.heads, kEps); });
    ms[2] += attention(1);
    ms[3] += linear(layer.o, hidden, mixed, nullptr);
    ms[4] += time_graph(3, [&] { api->prefill_mlp(stream, hidden.data, {model.gain.data}, layer.gate_up.matrix, layer.down.matrix, chunk, kEps, nullptr, parts, workspace.view); });
    ms[5] += attention(2);
  }
  double total = 0;
  for (int i = 0; i < 5; ++i) total += ms[i];
  const double products = 2.0 * kPrompt * static_cast<double>(n(model.qkv_width + model.q_width + 3 * one.ffn, one.width));
  const double attention = 2.0 * kPrompt * kPrompt * model.q_width;
  std::printf("prefill %s, %d tokens by %d, a loop of %d layers: %.1f ms, products %.0f TFLOP/s (%.0f%% of %.0f), with attention %.0f\n", shape.name, kPrompt, chunk, shape.layers,
              total * shape.layers, products / total / 1e9, 100 * products / (total * 1e-3) / rate, rate / 1e12, (products + attention) / total / 1e9);
  const char* names[] = {"qkv", "rope", "attention", "o", "mlp", "(attention of loop 2)"};
  std::printf("  a layer, ms:");
  for (int i = 0; i < 6; ++i) std::printf(" %s %.3f", names[i], ms[i]);
  std::printf("; attention %.0f TFLOP/s\n", attention / ms[2] / 1e9);
}

// Where a pass spends its time, by block 0's clock: see kPassLaps in cuda/pass.h.
// The kernel that counts is another than the one that was timed.
void print_clocks(const Model& model, int batch) {
  if (!model.use_pass) return;
  constexpr int kLaps = 19;
  constexpr std::size_t kAt = 4096;
  std::vector<long long> laps(kLaps);
  auto* at = static_cast<unsigned char*>(model.pass_space->view.data) + kAt;
  api->fill(stream, at, 0, kLaps * sizeof(long long));
  setenv("LOOPD_PASS_CLOCKS", "1", 1);
  api->pass(stream, model.hidden.data, model.pass_shape, model.pass_layers.data(), model.rows, batch, model.pass_space->view);
  unsetenv("LOOPD_PASS_CLOCKS");
  api->download(stream, laps.data(), at, laps.size() * sizeof(long long));
  sync("clocks");
  const char* const names[] = {"qkv: x", "product", "out", "meet", "| o: x", "product", "out", "meet", "| gate_up: x", "product", "out", "meet",
                               "| down: x", "product", "out", "meet", "| attend", "meet", "| add splits"};
  long long whole = 0;
  std::printf("  cycles a layer:");
  for (int i = 0; i < kLaps; ++i) {
    std::printf(" %s %lld", names[i], laps[static_cast<std::size_t>(i)] / model.shape.layers);
    whole += laps[static_cast<std::size_t>(i)];
  }
  std::printf(" = %lld\n", whole / model.shape.layers);
}

}  // namespace

// Kernels that overlap in a graph must leave the same bits as kernels run one by one, and so must any batch a row is in.
void test_model() {
  Group group("a step's overlap and batch");
  for (const Shape& shape : kShapes) {
    if (shape.layers > 20 || (quick && !shape.loopd)) continue;
    Shape few = shape;
    few.layers = std::min(few.layers, 6);
    std::vector<cuda::Choice> single;
    for (const int batch : {1, 3, 8}) {
      Model model(few, batch, 200);
      const Outcome want = run_steps(model, batch, 200, 8, true);
      bool finite = true;
      for (const float logit : want.logits) finite = finite && std::isfinite(logit);
      group.check("finite logits", finite ? 0 : 1, 0);
      for (int run = 0; run < 10; ++run) {
        group.check(std::string(shape.name) + " batch " + std::to_string(batch) + " run " + std::to_string(run), run_steps(model, batch, 200, 8, false) == want ? 0 : 1, 0);
      }
      const std::vector<cuda::Choice> first(want.history.begin(), want.history.begin() + 8);
      if (batch == 1) single = first;
      group.check(std::string(shape.name) + " row 0 alone", std::memcmp(first.data(), single.data(), 8 * sizeof(cuda::Choice)) == 0 ? 0 : 1, 0);
    }
  }
}

void bench(const std::string& name) {
  const Shape* shape = nullptr;
  for (const Shape& s : kShapes) {
    if (name == s.name) shape = &s;
  }
  if (!shape) return void(std::printf("no shape %s; there are 40b, 7b, default\n", name.c_str()));
  static const bool clocks = std::getenv("LOOPD_PASS_CLOCKS") != nullptr;
  unsetenv("LOOPD_PASS_CLOCKS");
  const double copy = api->measure_copy_bandwidth();
  if (std::getenv("LOOPD_BENCH_PREFILL")) {
    const double rate = api->measure_matrix_rate();
    for (const int chunk : {512, 1024, 2048, 4096}) {
      if (shape->loopd ? chunk <= 1024 : chunk >= 1024) bench_prefill(*shape, shape->loopd ? 3 : 1, chunk, rate);
    }
    return;
  }
  std::printf("\n%s: a copy moves %.0f GB/s\n", shape->name, copy / 1e9);
  std::printf("%-10s %5s %5s %7s %9s %8s %7s\n", "step", "batch", "depth", "context", "ms", "GB/s", "% copy");
  const bool small = shape->layers * shape->width < 20000;
  // LOOPD_BENCH_ROWS chooses among these, as a list of batch:context.
  const char* wanted = std::getenv("LOOPD_BENCH_ROWS");
  const bool operations = std::getenv("LOOPD_BENCH_OPERATIONS") != nullptr;
  // LOOPD_BENCH_DRAFT: consecutive tokens of one session, as when a draft is verified, instead of as many sessions.
  const bool draft = std::getenv("LOOPD_BENCH_DRAFT") != nullptr;
  for (const auto& [batch, context] : {std::pair{1, 16}, std::pair{2, 16}, std::pair{4, 16}, std::pair{8, 16}, std::pair{16, 16}, std::pair{1, 2000}, std::pair{8, 2000}, std::pair{1, 8192},
                                       std::pair{4, 8192}, std::pair{1, 32000}}) {
    const std::string name_of_row = "," + std::to_string(batch) + ":" + std::to_string(context) + ",";
    if (wanted && ("," + std::string(wanted) + ",").find(name_of_row) == std::string::npos) continue;
    Model model(*shape, batch, context);
    if (batch == 1 && context == 16 && operations) {
      // Each operation alone, over all layers, so that 40b's weights cannot stay in L2.
      const auto line = [&](const char* what, std::size_t bytes, const auto& record) {
        const double ms = time_graph(small ? 20 : 4, record) / shape->layers;
        std::printf("%-10s %5d %5s %7s %9.2f us %5.0f %6.1f%%\n", what, batch, "", "", ms * 1e3, static_cast<double>(bytes) / ms / 1e6, 100 * static_cast<double>(bytes) / (ms * 1e-3) / copy);
      };
      const auto linear = [&](const char* what, auto matrix_of, Buffer<float>& out, const Buffer<float>& x, const float* gain, cuda::Epilogue epilogue) {
        line(what, matrix_of(model.layers[0]).matrix.bytes, [&] {
          for (const Layer& layer : model.layers) api->linear(stream, out.data, x.data, {gain}, matrix_of(layer).matrix, batch, kEps, epilogue, nullptr, model.workspace.view);
        });
      };
      for (Buffer<float>* buffer : {&model.hidden, &model.mixed, &model.inner, &model.qkv}) api->random_floats(stream, buffer->data, buffer->size, 0, 1, 3);
      linear("qkv", [](const Layer& l) -> const DeviceMatrix& { return l.qkv; }, model.qkv, model.hidden, model.gain.data, cuda::Epilogue::store);
      linear("o", [](const Layer& l) -> const DeviceMatrix& { return l.o; }, model.hidden, model.mixed, nullptr, cuda::Epilogue::store);
      linear("gate_up", [](const Layer& l) -> const DeviceMatrix& { return l.gate_up; }, model.inner, model.hidden, model.gain.data, cuda::Epilogue::swiglu);
      linear("down", [](const Layer& l) -> const DeviceMatrix& { return l.down; }, model.hidden, model.inner, nullptr, cuda::Epilogue::store);
      line("rope", 0, [&] {
        for (const Layer& layer : model.layers) api->rope_write(stream, model.qkv.data, {cuda::Type::bf16, layer.keys.data, layer.values.data}, nullptr, {}, {}, model.rotation.data, model.rows, batch, model.heads, kEps);
      });
      line("attention", 0, [&] {
        for (const Layer& layer : model.layers) api->attention(stream, model.mixed.data, model.qkv.data, {cuda::Type::bf16, layer.keys.data, layer.values.data}, {model.gate_weight.data}, {model.gate_bias.data}, model.rows, batch, model.heads, 64, kSplits, model.workspace.view);
      });
      line("head", model.embedding.matrix.bytes / static_cast<std::size_t>(shape->layers), [&] { model.choose(batch); });
    }
    std::vector<int> positions(static_cast<std::size_t>(batch), context);
    if (draft) {
      std::iota(positions.begin(), positions.end(), context);
      model.table.set(std::vector<int>(positions.size(), 0));
    }
    for (const int depth : {1, 2}) {
      model.depth.set(std::vector<int>(static_cast<std::size_t>(batch), depth));
      model.position.set(positions);
      model.step.set({0});
      const double ms = time_graph(small ? 40 : 4, [&] {
        for (int r = 1; r <= depth; ++r) model.run_loop(batch, r);
        model.choose(batch);
      });
      const std::size_t kv = static_cast<std::size_t>(draft ? 1 : batch) * static_cast<std::size_t>(context + 1) * static_cast<std::size_t>(2 * shape->kv_heads * shape->head_dim * 2 * shape->layers);
      const double bytes = static_cast<double>(depth) * static_cast<double>(model.layer_bytes + kv) + static_cast<double>(model.embedding.matrix.bytes);
      std::printf("%-10s %5d %5d %7d %9.4f %8.0f %6.1f%%\n", draft ? "draft" : "decode", batch, depth, context, ms, bytes / ms / 1e6, 100 * bytes / (ms * 1e-3) / copy);
      std::fflush(stdout);
    }
    model.depth.set(std::vector<int>(static_cast<std::size_t>(batch), 1));
    model.loop.set(std::vector<int>(static_cast<std::size_t>(batch), 2));
    if (clocks) print_clocks(model, batch);
  }
}

}  // namespace gpu
