// Reads config.json: which family a checkpoint belongs to, its sizes, and how its weights are stored.
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "inference/model.h"
#include "inference/one_line.h"

namespace inference {
namespace {

using Json = nlohmann::json;

// One config file with typed access; every complaint names the file and the key.
class Config {
 public:
  Config(Json json, std::string file) : json_(std::move(json)), file_(std::move(file)) {}

  [[noreturn]] void fail(const std::string& what) const { throw one_line_error(file_ + ": " + what); }
  bool has(const char* key) const { return json_.contains(key) && !json_.at(key).is_null(); }
  const Json& at(const char* key) const { return json_.at(key); }

  int positive(const char* key) const {
    if (!has(key)) fail(std::string("key \"") + key + "\" is missing; expected a positive integer");
    return positive(key, 0);
  }
  int positive(const char* key, int fallback) const {
    if (!has(key)) return fallback;
    // A bound that no real model comes near keeps products of two sizes within an int64.
    constexpr std::int64_t kLimit = 1 << 24;
    const Json& value = json_.at(key);
    if (!value.is_number_integer() || value.get<std::int64_t>() < 1 || value.get<std::int64_t>() > kLimit) {
      fail(std::string("key \"") + key + "\" is " + value.dump() + "; expected a positive integer");
    }
    return value.get<int>();
  }
  double number(const char* key, double fallback) const {
    if (!has(key)) return fallback;
    if (!json_.at(key).is_number() || !(json_.at(key).get<double>() > 0)) {
      fail(std::string("key \"") + key + "\" is " + json_.at(key).dump() + "; expected a positive number");
    }
    return json_.at(key).get<double>();
  }
  bool flag(const char* key, bool fallback) const {
    if (!has(key)) return fallback;
    if (!json_.at(key).is_boolean()) fail(std::string("key \"") + key + "\" is " + json_.at(key).dump() + "; expected true or false");
    return json_.at(key).get<bool>();
  }
  // Features that change the result and that loopd does not compute: refusing beats a fluent, wrong answer.
  void refuse(const char* key) const {
    if (has(key) && json_.at(key) != Json(false)) fail(std::string("\"") + key + "\": " + json_.at(key).dump() + " is not supported");
  }

 private:
  Json json_;
  std::string file_;
};

void read_family(const Config& config, ModelConfig& model) {
  if (!config.has("model_type") || !config.at("model_type").is_string()) config.fail("key \"model_type\" is missing; expected a string");
  model.model_type = config.at("model_type").get<std::string>();
  if (model.model_type == "loopd") {
    model.family = Family::loopd;
  } else if (model.model_type == "iquestloopcoder") {
    model.family = Family::iquestloopcoder;
  } else if (model.model_type == "llama" || model.model_type == "iquestcoder" || model.model_type == "qwen2") {
    model.family = Family::llama;
  } else {
    config.fail("model_type \"" + model.model_type + "\" is not supported; known are loopd, iquestloopcoder, iquestcoder, llama, qwen2");
  }
  if (model.family != Family::llama) {
    model.max_depth = config.positive("loop_num");
    model.window = config.positive("loop_window_size", 64);
    if (model.family == Family::loopd && config.has("loop_own_gains")) model.own_gains = config.positive("loop_own_gains");
  }
}

void read_eos(const Config& config, ModelConfig& model) {
  if (!config.has("eos_token_id")) return;
  const Json& value = config.at("eos_token_id");
  for (const Json& id : value.is_array() ? value : Json::array({value})) {
    if (!id.is_number_integer()) config.fail("key \"eos_token_id\" is " + value.dump() + "; expected an id or a list of ids");
    model.eos_ids.push_back(id.get<int>());
  }
}

// How loopd models lay out a hole: suffix and prefix, then the middle, marked or not.
void read_fim_layout(const Config& config, ModelConfig& model) {
  if (model.family != Family::loopd) return;
  model.fim_joined = !config.has("fim_layout");
  if (!model.fim_joined && config.at("fim_layout") != "suffix_prefix_middle") {
    config.fail("fim_layout " + config.at("fim_layout").dump() + " is not supported; expected \"suffix_prefix_middle\"");
  }
}

// compressed-tensors "pack-quantized" with symmetric groups, as our export and llm-compressor write it.
void read_quantization(const Config& config, ModelConfig& model) {
  if (!config.has("quantization_config")) return;
  const Json& quantization = config.at("quantization_config");
  const auto text = [&](const char* key) {
    return quantization.is_object() && quantization.contains(key) && quantization.at(key).is_string() ? quantization.at(key).get<std::string>() : std::string();
  };
  if (text("quant_method") != "compressed-tensors" || text("format") != "pack-quantized") {
    config.fail("quantization_config: quant_method \"" + text("quant_method") + "\" format \"" + text("format") +
                "\" is not supported; expected compressed-tensors, pack-quantized");
  }
  if (!quantization.contains("config_groups") || !quantization.at("config_groups").is_object()) {
    config.fail("quantization_config: key \"config_groups\" is missing");
  }
  for (const auto& [name, group] : quantization.at("config_groups").items()) {
    const std::string where = "quantization_config: " + name;
    if (!group.is_object() || !group.contains("weights") || !group.at("weights").is_object()) config.fail(where + " has no \"weights\"");
    const Config weights(group.at("weights"), where);
    if (!weights.flag("symmetric", true)) config.fail(where + ": asymmetric weights are not supported");
    const int bits = weights.positive("num_bits");
    const bool embedding = group.contains("targets") && group.at("targets") == Json::array({"Embedding"});
    if (embedding) {
      if (bits != 8) config.fail(where + ": num_bits is " + std::to_string(bits) + "; embeddings take 8");
      model.embedding_int8 = true;
    } else {
      if (bits != 4) config.fail(where + ": num_bits is " + std::to_string(bits) + "; linear layers take 4");
      model.linear_bits = bits;
      model.linear_group = weights.positive("group_size");
    }
  }
}

void check(const Config& config, const ModelConfig& model) {
  if (model.heads % model.kv_heads != 0) {
    config.fail("num_attention_heads " + std::to_string(model.heads) + " is no multiple of num_key_value_heads " + std::to_string(model.kv_heads));
  }
  if (model.head_dim % 2 != 0) config.fail("head_dim " + std::to_string(model.head_dim) + " is odd; RoPE rotates pairs");
  if (model.linear_group % 8 != 0) config.fail("quantisation group_size " + std::to_string(model.linear_group) + " is no multiple of 8");
  if (config.has("hidden_act") && config.at("hidden_act") != "silu") config.fail("hidden_act " + config.at("hidden_act").dump() + " is not supported; expected \"silu\"");
  for (const char* key : {"rope_scaling", "clip_qkv", "mlp_bias", "use_sliding_window"}) config.refuse(key);
}

}  // namespace

ModelConfig load_config(const std::string& file) {
  std::ifstream stream(file);
  if (!stream) throw one_line_error(file + ": cannot be read; --model takes a Hugging Face model folder");
  Json json = Json::parse(stream, nullptr, false);
  if (json.is_discarded() || !json.is_object()) throw one_line_error(file + ": not a JSON object");
  const Config config(std::move(json), file);

  ModelConfig model;
  read_family(config, model);
  model.hidden_size = config.positive("hidden_size");
  model.intermediate_size = config.positive("intermediate_size");
  model.layers = config.positive("num_hidden_layers");
  model.heads = config.positive("num_attention_heads");
  model.kv_heads = config.positive("num_key_value_heads", model.heads);
  model.head_dim = config.positive("head_dim", std::max(1, model.hidden_size / model.heads));
  model.vocab_size = config.positive("vocab_size");
  model.max_positions = config.positive("max_position_embeddings");
  model.rms_norm_eps = static_cast<float>(config.number("rms_norm_eps", 1e-5));
  model.rope_theta = config.number("rope_theta", 10000);
  model.tie_word_embeddings = config.flag("tie_word_embeddings", false);
  model.attention_bias = config.flag("attention_bias", model.model_type == "qwen2");
  model.qk_norm = config.flag("qk_norm", false);
  read_eos(config, model);
  read_fim_layout(config, model);
  read_quantization(config, model);
  check(config, model);
  return model;
}

}  // namespace inference
