// Shapes of published models; sizes from their config.json and technical report.
#include "inference/synthetic.h"

#include <stdexcept>

namespace inference {
namespace {

Matrix matrix(WeightType type, int rows, int cols, int group) {
  Matrix matrix;
  matrix.type = type;
  matrix.rows = rows;
  matrix.cols = cols;
  matrix.group = group;
  return matrix;
}

ModelConfig iquest(int layers) {
  ModelConfig config;
  config.family = Family::iquestloopcoder;
  config.model_type = "iquestloopcoder";
  config.hidden_size = 5120;
  config.intermediate_size = 27648;
  config.layers = layers;
  config.heads = 40;
  config.kv_heads = 8;
  config.head_dim = 128;
  config.vocab_size = 76800;
  config.max_positions = 40960;
  config.rope_theta = 500000;
  config.max_depth = 2;
  config.window = 64;
  return config;
}

ModelConfig shipped() {
  ModelConfig config;
  config.family = Family::loopd;
  config.model_type = "loopd";
  config.hidden_size = 768;
  config.intermediate_size = 2048;
  config.layers = 10;
  config.heads = 12;
  config.kv_heads = 4;
  config.head_dim = 64;
  config.vocab_size = 16384;
  config.max_positions = 4096;
  config.rope_theta = 100000;
  config.tie_word_embeddings = true;
  config.qk_norm = true;
  config.max_depth = 6;
  config.window = 64;
  return config;
}

LoopGains ones(int count) { return {std::vector<float>(static_cast<std::size_t>(count), 1.0f), 1}; }

}  // namespace

std::unique_ptr<Model> synthetic_model(const std::string& name) {
  const std::string shape = name.substr(0, name.find(':'));
  const std::string type = name.find(':') == std::string::npos ? "int4" : name.substr(name.find(':') + 1);
  auto model = std::make_unique<Model>();
  const bool small = shape == "default";
  if (small) {
    model->config = shipped();
  } else if (shape == "40b" || shape == "40b-loop") {
    model->config = iquest(80);
  } else if (shape == "14b" || shape == "14b-loop") {
    model->config = iquest(28);
  } else if (shape == "7b" || shape == "7b-loop") {
    model->config = iquest(14);
  } else {
    throw std::runtime_error("--synthetic: shape \"" + shape + "\" is unknown; known are 40b-loop, 14b-loop, 7b-loop and default");
  }
  const ModelConfig& config = model->config;
  WeightType linear = WeightType::int4;
  if (type == "int8") {
    linear = WeightType::int8;
  } else if (type == "bf16") {
    linear = WeightType::bf16;
  } else if (type != "int4") {
    throw std::runtime_error("--synthetic: type \"" + type + "\" is unknown; known are int4, int8 and bf16");
  }
  const auto projection = [&](int rows, int cols) {
    return matrix(linear, rows, cols, linear == WeightType::bf16 ? 0 : linear == WeightType::int8 ? cols : small ? 64 : 128);
  };
  model->embedding = small ? matrix(WeightType::int8, config.vocab_size, config.hidden_size, config.hidden_size)
                           : matrix(WeightType::bf16, config.vocab_size, config.hidden_size, 0);
  if (!config.tie_word_embeddings) model->head = projection(config.vocab_size, config.hidden_size);
  model->norm = ones(config.hidden_size);
  for (int i = 0; i < config.layers; ++i) {
    Layer layer;
    layer.input_norm = layer.attention_norm = ones(config.hidden_size);
    layer.q = projection(config.q_width(), config.hidden_size);
    layer.k = layer.v = projection(config.kv_width(), config.hidden_size);
    layer.o = projection(config.hidden_size, config.q_width());
    layer.gate = layer.up = projection(config.intermediate_size, config.hidden_size);
    layer.down = projection(config.hidden_size, config.intermediate_size);
    if (config.qk_norm) layer.q_gain = layer.k_gain = ones(config.head_dim);
    layer.loop_gate_weight = {std::vector<float>(static_cast<std::size_t>(config.q_width()), 0.0f), 1};
    layer.loop_gate_bias = {std::vector<float>(static_cast<std::size_t>(config.heads), 2.0f), 1};
    model->layers.push_back(std::move(layer));
  }
  if (config.family == Family::loopd) {
    model->loop_input_norm = model->loop_state_norm = ones(config.hidden_size);
  }
  return model;
}

}  // namespace inference
