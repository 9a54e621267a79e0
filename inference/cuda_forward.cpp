// The looped forward pass as launches on a stream, in the order of forward.cpp and under the same names.
//
// A pass runs one loop over rows that may belong to different lanes and be in different loops: where a row stands is read
// from device memory, so that one recorded graph serves every step of the same number of rows.
#include "inference/cuda_forward.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

namespace inference {
namespace {

constexpr int kSplits = 16;  // blocks that share the attention over one context
// Below this width a product's rounding to bf16 would show in the choice of tokens, and speed is no question.
constexpr int kExactBelow = 2048;

std::size_t of(int value) { return static_cast<std::size_t>(value); }

// 1, 2, 4, 8, 16 -> 0..4; a smaller count takes the next larger graph.
std::size_t bucket(std::size_t count) {
  std::size_t index = 0;
  while ((std::size_t{1} << index) < count) ++index;
  return index;
}

std::size_t key_bytes(cuda::Type type) { return type == cuda::Type::fp8 ? 1 : 2; }

std::size_t layer_bytes(const ModelConfig& config, const CudaSizes& sizes) {
  return of(sizes.key_pages) * of(config.kv_width()) * cuda::kPage * key_bytes(sizes.keys);
}

std::size_t words(const ModelConfig& config) { return (of(config.vocab_size) + 31) / 32; }

// Scratch floats of one row.
std::size_t row_floats(const ModelConfig& config) {
  return 2 * of(config.hidden_size) + of(config.q_width() + 2 * config.kv_width()) + of(config.q_width()) + of(config.intermediate_size);
}

int parts(const ModelConfig& config) { return config.hidden_size < kExactBelow ? 3 : 1; }

std::size_t decode_workspace(const cuda::Api& api, const ModelConfig& config, const CudaWeights& weights) {
  const int rows = cuda::kMaxDecodeRows;
  const cuda::HeadShape shape{config.heads, config.kv_heads, config.head_dim};
  const std::size_t linear = weights.largest([&](const cuda::Matrix& matrix) { return api.linear_workspace(matrix, rows); });
  return std::max({linear, api.attention_workspace(shape, rows, kSplits), cuda::kWorkspaceCounters});
}

std::size_t prefill_workspace(const cuda::Api& api, const ModelConfig& config, const CudaWeights& weights, int chunk) {
  std::size_t most = 0;
  for (const CudaLayer& layer : weights.layers) {
    for (const cuda::Matrix* matrix : {&layer.qkv, &layer.o}) most = std::max(most, api.prefill_workspace(*matrix, chunk, parts(config)));
    most = std::max(most, api.prefill_mlp_workspace(layer.gate_up, layer.down, chunk, parts(config)));
  }
  return most;
}

cuda::PassShape pass_shape(const ModelConfig& config, const CudaWeights& weights) {
  return {{config.heads, config.kv_heads, config.head_dim}, config.hidden_size, config.intermediate_size, config.layers, config.window, config.rms_norm_eps, weights.rope};
}

// The layers as one kernel reads them, all but their caches.
std::vector<cuda::PassLayer> pass_layers(const CudaWeights& weights) {
  std::vector<cuda::PassLayer> layers;
  for (const CudaLayer& layer : weights.layers) {
    cuda::PassLayer one;
    one.qkv = layer.qkv, one.o = layer.o, one.gate_up = layer.gate_up, one.down = layer.down;
    one.input_gain = layer.input_norm, one.attention_gain = layer.attention_norm;
    one.qkv_bias = layer.qkv_bias;
    one.q_gain = layer.q_gain, one.k_gain = layer.k_gain;
    one.gate_weight = layer.loop_gate_weight, one.gate_bias = layer.loop_gate_bias;
    layers.push_back(one);
  }
  return layers;
}

}  // namespace

CudaNeed CudaForward::need(const cuda::Api& api, const Model& model, const CudaWeights& weights, const CudaSizes& sizes) {
  const ModelConfig& config = model.config;
  CudaNeed need;
  need.caches = 2 * of(config.layers) * layer_bytes(config, sizes) +
                of(sizes.state_pages) * cuda::kPage * of(config.hidden_size) * sizeof(float) +
                of(sizes.tables) * of(sizes.table_stride) * sizeof(int);
  const std::vector<cuda::PassLayer> layers = pass_layers(weights);
  const bool passes = api.pass_rows(pass_shape(config, weights), layers.data()) > 0;
  need.scratch = (passes ? api.pass_workspace(pass_shape(config, weights), layers.data()) : 0) + decode_workspace(api, config, weights) + prefill_workspace(api, config, weights, sizes.chunk) +
                 of(sizes.chunk) * (row_floats(config) * sizeof(float) + 5 * sizeof(int) + 2 * sizeof(long long)) +
                 kRows * of(config.vocab_size) * sizeof(float) + words(config) * 4;
  return need;
}

CudaForward::CudaForward(const cuda::Api& api, cuda::Stream stream, const Model& model, const CudaWeights& weights, const CudaSizes& sizes)
    : api_(api), stream_(stream), model_(model), weights_(weights), sizes_(sizes),
      shape_{model.config.heads, model.config.kv_heads, model.config.head_dim}, memory_(api), parts_(parts(model.config)) {
  const ModelConfig& config = model.config;
  layer_bytes_ = layer_bytes(config, sizes);
  keys_ = memory_.device<std::byte>(of(config.layers) * layer_bytes_);
  values_ = memory_.device<std::byte>(of(config.layers) * layer_bytes_);
  states_ = memory_.device<float>(of(sizes.state_pages) * cuda::kPage * of(config.hidden_size));
  tables_ = memory_.device<int>(of(sizes.tables) * of(sizes.table_stride));
  const std::size_t rows = std::max(of(sizes.chunk), kRows);
  state_ = memory_.device<float>(rows * of(config.hidden_size));
  hidden_ = memory_.device<float>(rows * of(config.hidden_size));
  qkv_ = memory_.device<float>(rows * of(config.q_width() + 2 * config.kv_width()));
  mixed_ = memory_.device<float>(rows * of(config.q_width()));
  gated_ = memory_.device<float>(rows * of(config.intermediate_size));
  logits_ = memory_.device<float>(kRows * of(config.vocab_size));
  allowed_ = memory_.device<std::uint32_t>(2 * words(config));
  first_mask_ = memory_.device<int>(kRows);
  choices_ = memory_.device<cuda::Choice>(kRows);
  block_ = memory_.device<RowBlock>(1);
  chunk_rows_ = memory_.device<int>(5 * rows);
  chunk_slots_ = memory_.device<long long>(2 * rows);
  workspace_.bytes = decode_workspace(api, config, weights);
  workspace_.data = memory_.device<std::byte>(workspace_.bytes);
  prefill_workspace_.bytes = prefill_workspace(api, config, weights, sizes.chunk);
  if (prefill_workspace_.bytes > 0) prefill_workspace_.data = memory_.device<std::byte>(prefill_workspace_.bytes);

  pass_shape_ = pass_shape(config, weights);
  pass_layers_ = pass_layers(weights);
  for (std::size_t i = 0; i < pass_layers_.size(); ++i) pass_layers_[i].cache = cache(i);
  pass_rows_ = api.pass_rows(pass_shape_, pass_layers_.data());
  if (pass_rows_ > 0) {
    pass_workspace_.bytes = api.pass_workspace(pass_shape_, pass_layers_.data());
    pass_workspace_.data = memory_.device<std::byte>(pass_workspace_.bytes);
    if (!api.pass_prepare(stream, pass_shape_, pass_layers_.data(), pass_workspace_)) throw_cuda(api, "preparing the layers");
  }

  blocks_ = memory_.pinned<RowBlock>(kBlocks);
  tables_host_ = memory_.pinned<int>(of(sizes.tables) * of(sizes.table_stride));
  chunk_rows_host_ = memory_.pinned<int>(5 * rows);
  chunk_slots_host_ = memory_.pinned<long long>(2 * rows);
  choices_host_ = memory_.pinned<cuda::Choice>(kRows);
  logits_host_ = memory_.pinned<float>(kRows * of(config.vocab_size));
  allowed_host_ = memory_.pinned<std::uint32_t>(2 * words(config));

  // Rows that pad a batch read slot and page 0: whatever lies there must be numbers.
  api.fill(stream, workspace_.data, 0, workspace_.bytes);
  api.fill(stream, first_mask_, 0, kRows * sizeof(int));
  api.fill(stream, allowed_, 0xff, words(config) * sizeof(std::uint32_t));
  api.fill(stream, states_, 0, of(sizes.state_pages) * cuda::kPage * of(config.hidden_size) * sizeof(float));
  api.fill(stream, keys_, 0, of(config.layers) * layer_bytes_);
  api.fill(stream, values_, 0, of(config.layers) * layer_bytes_);
  api.fill(stream, tables_, 0, of(sizes.tables) * of(sizes.table_stride) * sizeof(int));
  api.fill(stream, hidden_, 0, rows * of(config.hidden_size) * sizeof(float));
  api.fill(stream, state_, 0, rows * of(config.hidden_size) * sizeof(float));
  api.fill(stream, qkv_, 0, rows * of(config.q_width() + 2 * config.kv_width()) * sizeof(float));
  api.fill(stream, mixed_, 0, rows * of(config.q_width()) * sizeof(float));
  sync();
}

CudaForward::~CudaForward() {
  api_.sync(stream_);
  for (const auto* graphs : {&pass_graphs_, &head_graphs_}) {
    for (const cuda::Graph graph : *graphs) {
      if (graph) api_.graph_destroy(graph);
    }
  }
}

void CudaForward::sync() {
  if (!api_.sync(stream_)) throw_cuda(api_, "running the model");
  next_block_ = 0;
}

cuda::KvCache CudaForward::cache(std::size_t layer) const {
  return {sizes_.keys, keys_ + layer * layer_bytes_, values_ + layer * layer_bytes_};
}

void CudaForward::set_table(int table, std::size_t begin, std::span<const int> pages) {
  const std::size_t at = of(table) * of(sizes_.table_stride) + begin;
  std::copy(pages.begin(), pages.end(), tables_host_ + at);
  // A copy that starts late may carry a later write of the same entries: those are of positions no step has read yet.
  api_.upload(stream_, tables_ + at, tables_host_ + at, pages.size_bytes());
}

// Describes `count` rows on the device, padded with rows that sit the pass out.
void CudaForward::upload(const CudaRow* rows, std::size_t count, std::size_t padded) {
  if (next_block_ == kBlocks) {
    sync();
  }
  RowBlock& block = blocks_[next_block_++];
  for (std::size_t i = 0; i < padded; ++i) {
    CudaRow row;
    row.loop = 0;
    if (i < count) row = rows[i];
    block.token[i] = row.token;
    block.position[i] = row.position;
    block.loop[i] = row.loop;
    block.table[i] = row.table;
    block.first[i] = row.first;
    block.from[i] = row.from;
    block.to[i] = row.to;
  }
  api_.upload(stream_, block_, &block, sizeof block);
}

void CudaForward::launch(std::array<cuda::Graph, 5>& graphs, std::size_t count, void (CudaForward::*record)(int)) {
  cuda::Graph& graph = graphs[bucket(count)];
  if (!graph) {
    if (!api_.graph_begin(stream_)) throw_cuda(api_, "recording a graph");
    (this->*record)(1 << bucket(count));
    graph = api_.graph_end(stream_);
    if (!graph) throw_cuda(api_, "recording a graph");
  }
  if (!api_.graph_launch(graph, stream_)) throw_cuda(api_, "launching a graph");
}

void CudaForward::pass(std::span<const CudaRow> rows) {
  // Rows of one lane come in the order of their positions, so a second half finds the keys of the first.
  const std::size_t most = pass_rows_ == cuda::kMaxPassRows ? cuda::kMaxPassRows : kRows;
  for (; !rows.empty(); rows = rows.subspan(std::min(most, rows.size()))) some_rows(rows.first(std::min(most, rows.size())));
}

void CudaForward::some_rows(std::span<const CudaRow> rows) {
  upload(rows.data(), rows.size(), std::size_t{1} << bucket(rows.size()));
  launch(pass_graphs_, rows.size(), &CudaForward::record_pass);
}

// One loop of the rows that block_ describes.
void CudaForward::record_pass(int count) {
  const ModelConfig& config = model_.config;
  const int width = config.hidden_size;
  const float eps = config.rms_norm_eps;
  const cuda::Rows rows{block_->token, block_->position, block_->loop, nullptr, block_->table, block_->first, tables_, sizes_.table_stride};
  using cuda::Epilogue;

  // The residual stream at the entry of each row's loop.
  api_.gather_states(stream_, state_, states_, block_->from, count, width);
  api_.enter(stream_, hidden_, state_, weights_.embedding, weights_.loop_input_norm, weights_.loop_state_norm, rows, count, width, eps);

  const bool at_once = count <= pass_rows_;
  if (at_once) {
    // The same as below.
    api_.pass(stream_, hidden_, pass_shape_, pass_layers_.data(), rows, count, pass_workspace_);
  }
  for (std::size_t i = 0; i < weights_.layers.size() && !at_once; ++i) {
    const CudaLayer& layer = weights_.layers[i];
    // Queries, keys and values, normed per head where the model does so, then rotated by their absolute position. Keys and
    // values join their loop's cache before attention, so that a token sees itself.
    api_.linear(stream_, qkv_, hidden_, layer.input_norm, layer.qkv, count, eps, Epilogue::store, rows.loop, workspace_);
    api_.rope_write(stream_, qkv_, cache(i), layer.qkv_bias, layer.q_gain, layer.k_gain, weights_.rope, rows, count, shape_, eps);
    // Loop 1 attends to everything. Later loops attend to all of KV1 and to a window of their own, and mix by head.
    api_.attention(stream_, mixed_, qkv_, cache(i), layer.loop_gate_weight, layer.loop_gate_bias, rows, count, shape_, config.window, kSplits, workspace_);
    api_.linear(stream_, hidden_, mixed_, {}, layer.o, count, eps, Epilogue::add, rows.loop, workspace_);
    // The MLP.
    api_.linear(stream_, gated_, hidden_, layer.attention_norm, layer.gate_up, count, eps, Epilogue::swiglu, rows.loop, workspace_);
    api_.linear(stream_, hidden_, gated_, {}, layer.down, count, eps, Epilogue::add, rows.loop, workspace_);
  }
  api_.scatter_states(stream_, states_, hidden_, block_->to, rows.loop, count, width, block_->from, weights_.loop_carry);
}

bool CudaForward::prefill_ready() {
  if (!prefill_asked_) {
    prefill_asked_ = true;
    prefill_ready_ = api_.prefill_ready();
    if (!prefill_ready_) api_.clear_error();
  }
  return prefill_ready_;
}

void CudaForward::prefill(std::span<const CudaRow> chunk) {
  const ModelConfig& config = model_.config;
  const int width = config.hidden_size;
  const float eps = config.rms_norm_eps;
  const int count = static_cast<int>(chunk.size());
  const std::size_t stride = of(sizes_.chunk);
  for (std::size_t i = 0; i < chunk.size(); ++i) {
    const CudaRow& row = chunk[i];
    const int fields[5] = {row.token, row.position, row.loop, row.table, row.first};
    for (std::size_t field = 0; field < 5; ++field) chunk_rows_host_[field * stride + i] = fields[field];
    chunk_slots_host_[i] = row.from;
    chunk_slots_host_[stride + i] = row.to;
  }
  api_.upload(stream_, chunk_rows_, chunk_rows_host_, 5 * stride * sizeof(int));
  api_.upload(stream_, chunk_slots_, chunk_slots_host_, 2 * stride * sizeof(long long));
  const cuda::Rows rows{chunk_rows_,              chunk_rows_ + stride, chunk_rows_ + 2 * stride, nullptr,
                        chunk_rows_ + 3 * stride, chunk_rows_ + 4 * stride, tables_,              sizes_.table_stride};
  const int r = chunk.front().loop;
  using cuda::Epilogue;
  const cuda::Workspace& space = prefill_workspace_;

  if (r > 1) api_.gather_states(stream_, state_, states_, chunk_slots_, count, width);
  api_.enter(stream_, hidden_, state_, weights_.embedding, weights_.loop_input_norm, weights_.loop_state_norm, rows, count, width, eps);
  for (std::size_t i = 0; i < weights_.layers.size(); ++i) {
    const CudaLayer& layer = weights_.layers[i];
    api_.prefill_linear(stream_, qkv_, hidden_, layer.input_norm, layer.qkv, count, eps, Epilogue::store, rows.loop, parts_, space);
    api_.rope_write(stream_, qkv_, cache(i), layer.qkv_bias, layer.q_gain, layer.k_gain, weights_.rope, rows, count, shape_, eps);
    api_.prefill_attention(stream_, mixed_, qkv_, cache(i), layer.loop_gate_weight, layer.loop_gate_bias, rows, count, shape_,
                           config.window, r, chunk.front().position);
    api_.prefill_linear(stream_, hidden_, mixed_, {}, layer.o, count, eps, Epilogue::add, rows.loop, parts_, space);
    api_.prefill_mlp(stream_, hidden_, layer.attention_norm, layer.gate_up, layer.down, count, eps, rows.loop, parts_, space);
  }
  api_.scatter_states(stream_, states_, hidden_, chunk_slots_ + stride, rows.loop, count, width, chunk_slots_, weights_.loop_carry);
  // The row description is written again for the next chunk; a chunk is long enough that waiting for it costs nothing.
  sync();
}

void CudaForward::limit(std::size_t vocabulary) {
  if (vocabulary == vocabulary_) return;
  sync();
  vocabulary_ = vocabulary;
  for (std::size_t word = 0; word < words(model_.config); ++word) {
    const std::size_t bits = std::min<std::size_t>(32, vocabulary > word * 32 ? vocabulary - word * 32 : 0);
    allowed_host_[word] = static_cast<std::uint32_t>((std::uint64_t{1} << bits) - 1);
  }
  api_.upload(stream_, allowed_, allowed_host_, words(model_.config) * sizeof(std::uint32_t));
}

void CudaForward::head(std::span<const CudaState> states) {
  CudaRow rows[kRows];
  for (std::size_t i = 0; i < states.size(); ++i) rows[i].from = states[i].slot, rows[i].loop = states[i].loop;
  upload(rows, states.size(), std::size_t{1} << bucket(states.size()));
  launch(head_graphs_, states.size(), &CudaForward::record_head);
}

// Logits of the states that block_ names.
void CudaForward::record_head(int count) {
  const ModelConfig& config = model_.config;
  api_.gather_states(stream_, state_, states_, block_->from, count, config.hidden_size);
  api_.linear(stream_, logits_, state_, weights_.norm, weights_.head, count, config.rms_norm_eps, cuda::Epilogue::store, block_->loop, workspace_);
}

void CudaForward::choose(std::span<const CudaState> states, std::span<const Rule> rules, std::span<cuda::Choice> out) {
  const auto vocab = model_.config.vocab_size;
  head(states);
  const bool plain = std::all_of(rules.begin(), rules.end(), [](const Rule& rule) { return rule.allowed.empty() && rule.bias_token < 0; });
  if (plain) {
    api_.argmax(stream_, choices_, logits_, static_cast<int>(states.size()), vocab, allowed_, first_mask_, -1, 0);
  } else {
    std::uint32_t* own = allowed_ + words(model_.config);
    // Few rows have rules of their own, and those seldom: each is chosen by itself.
    for (std::size_t i = 0; i < states.size(); ++i) {
      const Rule& rule = rules[i];
      if (!rule.allowed.empty()) {
        if (i > 0) sync();
        std::copy(rule.allowed.begin(), rule.allowed.end(), allowed_host_ + words(model_.config));
        api_.upload(stream_, own, allowed_host_ + words(model_.config), rule.allowed.size_bytes());
      }
      api_.argmax(stream_, choices_ + i, logits_ + i * of(vocab), 1, vocab, rule.allowed.empty() ? allowed_ : own, first_mask_, rule.bias_token, rule.bias);
    }
  }
  api_.download(stream_, choices_host_, choices_, states.size() * sizeof(cuda::Choice));
  sync();
  std::copy_n(choices_host_, states.size(), out.begin());
}

void CudaForward::logits(std::span<const CudaState> states, float* out) {
  const std::size_t vocab = of(model_.config.vocab_size);
  for (std::size_t first = 0; first < states.size(); first += kRows) {
    const auto some = states.subspan(first, std::min(kRows, states.size() - first));
    head(some);
    api_.download(stream_, logits_host_, logits_, some.size() * vocab * sizeof(float));
    sync();
    std::copy_n(logits_host_, some.size() * vocab, out + first * vocab);
  }
}

}  // namespace inference
