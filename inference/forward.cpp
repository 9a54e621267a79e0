// The looped forward pass on the CPU, step by step; which kernels run is decided by the Ops table.
//
// Source of the semantics: the iquestloopcoder checkpoints' architecture. Loop 1 is a plain Llama pass that fills KV1.
// Loop r >= 2 runs the same weights over the same positions; each head mixes attention over KV1 with attention over a
// window of this loop's own keys. Family::loopd enters every loop with the normed embedding (and the normed state).
#include "inference/forward.h"

#include <algorithm>
#include <array>
#include <chrono>

namespace inference {

bool Forward::run(Timeline& timeline, int depth, std::size_t first_needed, const std::stop_token& stop, const Deadline& deadline) {
  const auto over = [&] { return stop.stop_requested() || (deadline && std::chrono::steady_clock::now() >= *deadline); };
  const std::vector<std::size_t> starts = timeline.plan(depth, first_needed);
  const std::size_t end = timeline.tokens().size();
  for (int r = 1; r <= depth; ++r) {
    for (std::size_t first = starts[static_cast<std::size_t>(r - 1)]; first < end; first += kChunk) {
      if (over()) return false;
      run_chunk(timeline, r, first, std::min(kChunk, end - first));
    }
  }
  return !stop.stop_requested();
}

void Forward::run_chunk(Timeline& timeline, int r, std::size_t first, std::size_t rows) {
  const ModelConfig& config = model_.config;
  timeline.prepare(r, first, first + rows);
  enter(timeline, r, first, rows);
  for (int layer = 0; layer < config.layers; ++layer) {
    attend(timeline, r, layer, first, rows);
    feed_forward(model_.layers[static_cast<std::size_t>(layer)], r, rows);
  }
  leave(timeline, r, first, rows);
  timeline.advance(r, first + rows);
}

// The residual stream at the entry of loop r.
void Forward::enter(Timeline& timeline, int r, std::size_t first, std::size_t rows) {
  const ModelConfig& config = model_.config;
  const auto width = static_cast<std::size_t>(config.hidden_size);
  hidden_.resize(rows * width);
  normed_.resize(rows * width);
  const auto embed = [&](std::vector<float>& out) { ops_.embed(pool_, out.data(), model_.embedding, timeline.tokens().data() + first, rows); };
  if (r > 1) gather_states(timeline, r - 1, first, rows);
  if (config.family != Family::loopd) {
    if (r > 1) {
      hidden_.swap(states_);
    } else {
      embed(hidden_);
    }
    return;
  }
  embed(normed_);
  ops_.rms_norm(pool_, hidden_.data(), normed_.data(), model_.loop_input_norm.of(r), rows, width, config.rms_norm_eps);
  if (r == 1) return;
  ops_.rms_norm(pool_, normed_.data(), states_.data(), model_.loop_state_norm.of(r - 1), rows, width, config.rms_norm_eps);
  for (std::size_t i = 0; i < rows * width; ++i) hidden_[i] += normed_[i];
}

// The state that loop r leaves: the residual stream, plus a share of the state before where the model carries one.
void Forward::leave(Timeline& timeline, int r, std::size_t first, std::size_t rows) {
  const auto width = static_cast<std::size_t>(model_.config.hidden_size);
  const float* carry = r > 1 ? model_.loop_carry.of(r - 1) : nullptr;
  for (std::size_t row = 0; row < rows; ++row) {
    const float* hidden = hidden_.data() + row * width;
    float* state = timeline.state(r, first + row);
    std::copy_n(hidden, width, state);
    if (!carry) continue;
    const float* before = timeline.state(r - 1, first + row);
    for (std::size_t i = 0; i < width; ++i) state[i] += carry[i] * before[i];
  }
}

void Forward::gather_states(const Timeline& timeline, int r, std::size_t first, std::size_t rows) {
  const auto width = static_cast<std::size_t>(model_.config.hidden_size);
  states_.resize(rows * width);
  for (std::size_t row = 0; row < rows; ++row) std::copy_n(timeline.state(r, first + row), width, states_.data() + row * width);
}

void Forward::project(std::initializer_list<Projection> projections, const std::vector<float>& x, std::size_t rows) {
  std::array<Product, 3> products;
  std::size_t count = 0;
  for (const auto& [matrix, out] : projections) {
    out->resize(rows * static_cast<std::size_t>(matrix->rows));
    products[count++] = {matrix, out->data()};
  }
  ops_.matmul(pool_, std::span(products).first(count), x.data(), rows);
}

namespace {

void add_bias(std::vector<float>& x, const std::vector<float>& bias) {
  if (bias.empty()) return;
  for (std::size_t i = 0; i < x.size(); ++i) x[i] += bias[i % bias.size()];
}

}  // namespace

void Forward::attend(Timeline& timeline, int r, int index, std::size_t first, std::size_t rows) {
  const ModelConfig& config = model_.config;
  const Layer& layer = model_.layers[static_cast<std::size_t>(index)];
  const auto width = static_cast<std::size_t>(config.hidden_size);
  const auto dim = static_cast<std::size_t>(config.head_dim);
  const AttentionShape shape{config.heads, config.kv_heads, config.head_dim};

  // Queries, keys and values, normed per head where the model does so, then rotated by their absolute position.
  ops_.rms_norm(pool_, normed_.data(), hidden_.data(), layer.input_norm.of(r), rows, width, config.rms_norm_eps);
  project({{&layer.q, &q_}, {&layer.k, &k_}, {&layer.v, &v_}}, normed_, rows);
  add_bias(q_, layer.q_bias);
  add_bias(k_, layer.k_bias);
  add_bias(v_, layer.v_bias);
  if (config.qk_norm) {
    const auto norm_heads = [&](std::vector<float>& x, const LoopGains& gain) {
      mixed_.resize(x.size());
      ops_.rms_norm(pool_, mixed_.data(), x.data(), gain.of(r), x.size() / dim, dim, config.rms_norm_eps);
      x.swap(mixed_);
    };
    norm_heads(q_, layer.q_gain);
    norm_heads(k_, layer.k_gain);
  }
  ops_.rope(pool_, q_.data(), rows, config.heads, config.head_dim, first, config.rope_theta);
  ops_.rope(pool_, k_.data(), rows, config.kv_heads, config.head_dim, first, config.rope_theta);

  // Keys and values join this loop's cache before attention, so that a token sees itself.
  ops_.store(timeline.view(r, index), k_.data(), v_.data(), static_cast<std::size_t>(config.kv_width()), rows, first);

  // Loop 1 attends to everything. Later loops attend to all of KV1 and to a window of their own, and mix by head.
  global_.resize(q_.size());
  ops_.attention(pool_, global_.data(), q_.data(), timeline.view(1, index), shape, rows, first, 0);
  if (r >= 2) {
    local_.resize(q_.size());
    mixed_.resize(q_.size());
    ops_.attention(pool_, local_.data(), q_.data(), timeline.view(r, index), shape, rows, first, static_cast<std::size_t>(config.window));
    mix_by_gate(mixed_.data(), global_.data(), local_.data(), q_.data(), layer.loop_gate_weight.of(r),
                layer.loop_gate_bias.of(r), rows, config.heads, config.head_dim);
    global_.swap(mixed_);
  }
  project({{&layer.o, &projected_}}, global_, rows);
  for (std::size_t i = 0; i < rows * width; ++i) hidden_[i] += projected_[i];
}

void Forward::feed_forward(const Layer& layer, int r, std::size_t rows) {
  const ModelConfig& config = model_.config;
  const auto width = static_cast<std::size_t>(config.hidden_size);
  ops_.rms_norm(pool_, normed_.data(), hidden_.data(), layer.attention_norm.of(r), rows, width, config.rms_norm_eps);
  project({{&layer.gate, &gate_}, {&layer.up, &up_}}, normed_, rows);
  mixed_.resize(gate_.size());
  ops_.swiglu(pool_, mixed_.data(), gate_.data(), up_.data(), gate_.size());
  project({{&layer.down, &projected_}}, mixed_, rows);
  for (std::size_t i = 0; i < rows * width; ++i) hidden_[i] += projected_[i];
}

void Forward::logits(const Timeline& timeline, int depth, std::size_t first, std::size_t count, std::vector<float>& to) {
  const ModelConfig& config = model_.config;
  const auto width = static_cast<std::size_t>(config.hidden_size);
  gather_states(timeline, depth, first, count);
  normed_.resize(count * width);
  ops_.rms_norm(pool_, normed_.data(), states_.data(), model_.norm.of(depth), count, width, config.rms_norm_eps);
  project({{&model_.output(), &to}}, normed_, count);
}

}  // namespace inference
