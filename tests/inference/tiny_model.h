// Writes a tiny random loopd checkpoint with a tokenizer, so that tests can generate text without the shipped model.
#pragma once

#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

namespace tiny {

// Special tokens 0-7 as in the shipped model, then the 256 bytes, then a few merges.
inline nlohmann::json tokenizer() {
  using nlohmann::json;
  json vocabulary = json::object(), merges = json::array(), added = json::array();
  int next_code_point = 256, id = 0;
  for (const char* text : {"<|endoftext|>", "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|fim_end|>", "<|repo_name|>", "<|file_sep|>", "<|pad|>"}) {
    added.push_back({{"id", id++}, {"content", text}, {"special", true}});
  }
  for (int byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    const int point = printable ? byte : next_code_point++;
    std::string spelled(1, static_cast<char>(point));
    if (point >= 0x80) spelled = {static_cast<char>(0xC0 | point >> 6), static_cast<char>(0x80 | (point & 0x3F))};
    vocabulary[spelled] = id++;
  }
  for (const auto& [left, right] : std::vector<std::pair<std::string, std::string>>{{"r", "e"}, {"re", "t"}, {"u", "r"}, {"ur", "n"}, {"ret", "urn"}, {"s", "e"}, {"l", "f"}, {"se", "lf"}, {".", "a"}}) {
    merges.push_back(left + " " + right);
    vocabulary[left + right] = id++;
  }
  const char* regex = R"(\r?\n|[^\S\r\n]{2,}|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|[^\S\r\n]|\s)";
  return {{"model", {{"type", "BPE"}, {"vocab", vocabulary}, {"merges", merges}}},
          {"added_tokens", added},
          {"pre_tokenizer", {{"type", "Split"}, {"pattern", {{"Regex", regex}}}, {"behavior", "Isolated"}}}};
}

// A folder that goes away with the object.
class Model {
 public:
  explicit Model(unsigned seed = 1) : dir_(std::filesystem::temp_directory_path() / ("loopd-tiny-" + std::to_string(getpid()) + "-" + std::to_string(seed))) {
    std::filesystem::create_directories(dir_);
    random_.seed(seed);
    const std::int64_t vocab = 280, hidden = 16, inner = 24, heads = 2, dim = 8, loops = 3;
    gain("model.norm.weight", {hidden});
    matrix("model.embed_tokens.weight", {vocab, hidden});
    gain("model.loop_input_norm.weight", {loops, hidden});
    gain("model.loop_state_norm.weight", {loops - 1, hidden});
    for (int i = 0; i < 2; ++i) {
      const std::string layer = "model.layers." + std::to_string(i) + ".", attention = layer + "self_attn.";
      gain(layer + "input_layernorm.weight", {hidden});
      gain(layer + "post_attention_layernorm.weight", {hidden});
      for (const char* name : {"q_proj", "k_proj", "v_proj", "o_proj"}) matrix(attention + name + ".weight", {heads * dim, hidden});
      matrix(layer + "mlp.gate_proj.weight", {inner, hidden});
      matrix(layer + "mlp.up_proj.weight", {inner, hidden});
      matrix(layer + "mlp.down_proj.weight", {hidden, inner});
      matrix("model.gate_projections." + std::to_string(i) + ".weight", {heads, dim});
      gain("model.gate_projections." + std::to_string(i) + ".bias", {heads});
    }
    const std::string text = header_.dump();
    const std::uint64_t size = text.size();
    std::ofstream file(dir_ / "model.safetensors", std::ios::binary);
    file.write(reinterpret_cast<const char*>(&size), sizeof size);
    file << text;
    file.write(reinterpret_cast<const char*>(data_.data()), static_cast<std::streamsize>(data_.size() * sizeof(float)));
    std::ofstream(dir_ / "config.json") << nlohmann::json{
        {"model_type", "loopd"}, {"hidden_size", hidden}, {"intermediate_size", inner}, {"num_hidden_layers", 2}, {"num_attention_heads", heads},
        {"num_key_value_heads", heads}, {"head_dim", dim}, {"vocab_size", vocab}, {"max_position_embeddings", 512}, {"loop_num", loops},
        {"loop_window_size", 8}, {"tie_word_embeddings", true}, {"eos_token_id", 0}};
    std::ofstream(dir_ / "tokenizer.json") << tokenizer();
  }
  ~Model() { std::filesystem::remove_all(dir_); }
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  std::string dir() const { return dir_.string(); }

 private:
  void add(const std::string& name, const std::vector<std::int64_t>& shape, float mean, float deviation) {
    std::size_t count = 1;
    for (const std::int64_t extent : shape) count *= static_cast<std::size_t>(extent);
    const std::size_t begin = data_.size() * sizeof(float);
    std::normal_distribution<float> distribution(mean, deviation);
    for (std::size_t i = 0; i < count; ++i) data_.push_back(distribution(random_));
    header_[name] = {{"dtype", "F32"}, {"shape", shape}, {"data_offsets", {begin, data_.size() * sizeof(float)}}};
  }
  void gain(const std::string& name, const std::vector<std::int64_t>& shape) { add(name, shape, 1, 0.1f); }
  void matrix(const std::string& name, const std::vector<std::int64_t>& shape) { add(name, shape, 0, 0.5f); }

  std::filesystem::path dir_;
  std::mt19937 random_;
  nlohmann::json header_ = nlohmann::json::object();
  std::vector<float> data_;
};

}  // namespace tiny
