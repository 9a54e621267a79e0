// Assembles a Model from a checkpoint's tensors, each checked for presence, type and shape.
#include "inference/model.h"

#include <cmath>
#include <cstring>
#include <filesystem>
#include <stdexcept>

#include "inference/half.h"
#include "inference/one_line.h"
#include "inference/packed.h"
#include "inference/safetensors.h"

namespace inference {
namespace {

using Shape = std::vector<std::int64_t>;

class Loader {
 public:
  Loader(Safetensors& files, const ModelConfig& config) : files_(files), config_(config) {}

  // A small tensor as float32, whatever its stored type.
  std::vector<float> vector(const std::string& name, const Shape& shape) {
    const Tensor& tensor = require(name, shape);
    std::size_t count = 1;
    for (const std::int64_t extent : shape) count *= static_cast<std::size_t>(extent);
    return floats(tensor, name, count);
  }

  // The same with one row of `shape` for each loop that has its own, where the model has such rows.
  LoopGains gains(const std::string& name, const Shape& shape) {
    if (config_.own_gains == 0) return {vector(name, shape), 1};
    Shape rows = shape;
    rows.insert(rows.begin(), config_.own_gains);
    return {vector(name, rows), static_cast<std::size_t>(config_.own_gains)};
  }

  // Rows [rows, hidden] of what happens between loops; none for `rows` 0.
  LoopGains between(const std::string& name, int rows) {
    if (rows == 0) return {};
    return {vector(name, {rows, config_.hidden_size}), static_cast<std::size_t>(rows)};
  }

  // A matrix [rows, cols] of floats, or int4 in groups where the checkpoint is quantised.
  Matrix linear(const std::string& prefix, int rows, int cols) {
    if (config_.linear_bits == 0 || files_.find(prefix + ".weight")) return plain(prefix + ".weight", rows, cols);
    const int group = config_.linear_group;
    if (cols % group != 0) fail(prefix + ": " + std::to_string(cols) + " columns are no multiple of the group of " + std::to_string(group));
    const Tensor& packed = require(prefix + ".weight_packed", {rows, cols / 8});
    if (packed.dtype != "I32") fail(packed.file + ": tensor " + prefix + ".weight_packed: expected I32, found " + packed.dtype);
    files_.find(prefix + ".weight_shape");  // says again what the packed shape says
    Matrix matrix;
    matrix.type = WeightType::int4;
    matrix.rows = rows;
    matrix.cols = cols;
    matrix.data = packed.data.data();
    matrix.group = group;
    matrix.scales = vector(prefix + ".weight_scale", {rows, cols / group});
    return matrix;
  }

  Matrix embedding(const std::string& name, int rows, int cols) {
    if (!config_.embedding_int8) return plain(name, rows, cols);
    const Tensor& stored = require(name, {rows, cols});
    if (stored.dtype != "I8") fail(stored.file + ": tensor " + name + ": expected I8, found " + stored.dtype);
    Matrix matrix;
    matrix.type = WeightType::int8;
    matrix.rows = rows;
    matrix.cols = cols;
    matrix.data = stored.data.data();
    matrix.group = cols;
    matrix.scales = vector(name + "_scale", {rows, 1});
    return matrix;
  }

 private:
  [[noreturn]] static void fail(const std::string& what) { throw one_line_error(what); }

  const Tensor& require(const std::string& name, const Shape& shape) {
    const Tensor* tensor = files_.find(name);
    if (!tensor) fail(files_.dir() + ": tensor " + name + " is missing; expected shape " + to_string(shape));
    if (tensor->shape != shape) fail(tensor->file + ": tensor " + name + ": expected shape " + to_string(shape) + ", found " + to_string(tensor->shape));
    return *tensor;
  }

  Matrix plain(const std::string& name, int rows, int cols) {
    const Tensor& tensor = require(name, {rows, cols});
    Matrix matrix;
    if (tensor.dtype == "F32") {
      matrix.type = WeightType::f32;
    } else if (tensor.dtype == "F16") {
      matrix.type = WeightType::f16;
    } else if (tensor.dtype == "BF16") {
      matrix.type = WeightType::bf16;
    } else {
      fail(tensor.file + ": tensor " + name + ": expected F32, F16 or BF16, found " + tensor.dtype);
    }
    matrix.rows = rows;
    matrix.cols = cols;
    matrix.data = tensor.data.data();
    return matrix;
  }

  static std::vector<float> floats(const Tensor& tensor, const std::string& name, std::size_t count) {
    std::vector<float> values(count);
    if (tensor.dtype == "F32") {
      std::memcpy(values.data(), tensor.data.data(), count * sizeof(float));
    } else if (tensor.dtype == "F16" || tensor.dtype == "BF16") {
      const bool half = tensor.dtype == "F16";
      for (std::size_t i = 0; i < count; ++i) {
        std::uint16_t bits;
        std::memcpy(&bits, tensor.data.data() + i * sizeof bits, sizeof bits);
        values[i] = half ? half_to_float(bits) : bfloat16_to_float(bits);
      }
    } else {
      fail(tensor.file + ": tensor " + name + ": expected F32, F16 or BF16, found " + tensor.dtype);
    }
    for (const float value : values) {
      if (!std::isfinite(value)) fail(tensor.file + ": tensor " + name + " holds a value that is not finite");
    }
    return values;
  }

  Safetensors& files_;
  const ModelConfig& config_;
};

Layer load_layer(Loader& load, const ModelConfig& config, int index) {
  const std::string prefix = "model.layers." + std::to_string(index) + ".";
  const std::string attention = prefix + "self_attn.";
  const int hidden = config.hidden_size;
  Layer layer;
  layer.input_norm = load.gains(prefix + "input_layernorm.weight", {hidden});
  layer.attention_norm = load.gains(prefix + "post_attention_layernorm.weight", {hidden});
  layer.q = load.linear(attention + "q_proj", config.q_width(), hidden);
  layer.k = load.linear(attention + "k_proj", config.kv_width(), hidden);
  layer.v = load.linear(attention + "v_proj", config.kv_width(), hidden);
  layer.o = load.linear(attention + "o_proj", hidden, config.q_width());
  if (config.attention_bias) {
    layer.q_bias = load.vector(attention + "q_proj.bias", {config.q_width()});
    layer.k_bias = load.vector(attention + "k_proj.bias", {config.kv_width()});
    layer.v_bias = load.vector(attention + "v_proj.bias", {config.kv_width()});
  }
  if (config.qk_norm) {
    layer.q_gain = load.gains(attention + "q_norm.weight", {config.head_dim});
    layer.k_gain = load.gains(attention + "k_norm.weight", {config.head_dim});
  }
  layer.gate = load.linear(prefix + "mlp.gate_proj", config.intermediate_size, hidden);
  layer.up = load.linear(prefix + "mlp.up_proj", config.intermediate_size, hidden);
  layer.down = load.linear(prefix + "mlp.down_proj", hidden, config.intermediate_size);
  if (config.family != Family::llama) {
    const std::string gates = "model.gate_projections." + std::to_string(index);
    layer.loop_gate_weight = load.gains(gates + ".weight", {config.heads, config.head_dim});
    layer.loop_gate_bias = load.gains(gates + ".bias", {config.heads});
  }
  return layer;
}

}  // namespace

std::string_view name(WeightType type) {
  switch (type) {
    case WeightType::f32: return "f32";
    case WeightType::f16: return "f16";
    case WeightType::bf16: return "bf16";
    case WeightType::int8: return "int8";
    case WeightType::int4: return "int4";
  }
  return "?";
}

std::size_t Matrix::bytes() const {
  const std::size_t count = static_cast<std::size_t>(rows) * static_cast<std::size_t>(cols);
  const std::size_t scale_bytes = scales.size() * (packed && packed->half_scales ? sizeof(std::uint16_t) : sizeof(float));
  switch (type) {
    case WeightType::f32: return count * 4;
    case WeightType::f16:
    case WeightType::bf16: return count * 2;
    case WeightType::int8: return count + scale_bytes;
    case WeightType::int4: return count / 2 + scale_bytes;
  }
  return 0;
}

std::unique_ptr<Model> load_model(const std::string& dir, bool need_tokenizer) {
  auto model = std::make_unique<Model>();
  model->config = load_config(dir + "/config.json");
  const ModelConfig& config = model->config;
  auto files = std::make_shared<Safetensors>(dir);
  Loader load(*files, config);

  model->embedding = load.embedding("model.embed_tokens.weight", config.vocab_size, config.hidden_size);
  if (!config.tie_word_embeddings) model->head = load.linear("lm_head", config.vocab_size, config.hidden_size);
  model->norm = load.gains("model.norm.weight", {config.hidden_size});
  for (int i = 0; i < config.layers; ++i) model->layers.push_back(load_layer(load, config, i));
  if (config.family == Family::loopd) {
    const int rows = config.own_gains > 0 ? config.own_gains : config.max_depth;
    model->loop_input_norm = load.between("model.loop_input_norm.weight", rows);
    model->loop_state_norm = load.between("model.loop_state_norm.weight", rows - 1);
    if (config.own_gains > 0) model->loop_carry = load.between("model.loop_carry.weight", rows - 1);
  }
  if (const auto unread = files->unread(); !unread.empty()) {
    throw one_line_error(dir + ": tensor " + unread.front() + " is not read by model_type \"" + config.model_type + "\" (" +
                             std::to_string(unread.size()) + " such tensors); is model_type in config.json right?");
  }
  model->files = std::move(files);

  const std::string tokenizer = dir + "/tokenizer.json";
  if (need_tokenizer || std::filesystem::exists(tokenizer)) {
    model->tokenizer = std::make_unique<Tokenizer>(Tokenizer::load(tokenizer));
    if (model->tokenizer->size() > static_cast<std::size_t>(config.vocab_size)) {
      throw one_line_error(tokenizer + ": " + std::to_string(model->tokenizer->size()) + " tokens, but config.json says vocab_size " + std::to_string(config.vocab_size));
    }
  }
  return model;
}

}  // namespace inference
