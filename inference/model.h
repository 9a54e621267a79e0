// A loaded model: its configuration and weights as plain structs, every field with its shape.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "inference/tokenizer.h"

namespace inference {

class Safetensors;
class PackedWeights;
struct PackedMatrix;

enum class Family {
  llama,            // plain decoder: llama, qwen2, iquestcoder
  iquestloopcoder,  // loops share weights; loops >= 2 mix a global and a windowed attention by a gate
  loopd,            // the same, with a normed state and the embedding fed in again at every loop's entry
};

struct ModelConfig {
  Family family = Family::llama;
  std::string model_type;
  int hidden_size = 0;
  int intermediate_size = 0;
  int layers = 0;
  int heads = 0;
  int kv_heads = 0;
  int head_dim = 0;
  int vocab_size = 0;
  int max_positions = 0;
  float rms_norm_eps = 1e-5f;
  double rope_theta = 10000;
  bool tie_word_embeddings = false;
  bool attention_bias = false;  // q, k and v have biases (qwen2)
  bool qk_norm = false;         // q and k are RMS-normed per head, with a gain, before RoPE
  int max_depth = 1;            // loops the model was trained for
  int own_gains = 0;            // loopd: loops with gains and gates of their own, later ones take the last's; 0: all share one
  int window = 0;               // keys of the windowed attention of loops >= 2, the query's own included
  std::vector<TokenId> eos_ids;
  bool fim_joined = false;      // loopd's first models: prefix and middle are one text, with no token between them

  // compressed-tensors: int4 or int8 linear layers in groups along the input; 0 bits: not quantised.
  int linear_bits = 0;
  int linear_group = 0;
  bool embedding_int8 = false;

  int q_width() const { return heads * head_dim; }
  int kv_width() const { return kv_heads * head_dim; }
};

// Reads DIR/config.json. Throws std::runtime_error naming the file and key, what was expected and what was found.
ModelConfig load_config(const std::string& file);

enum class WeightType { f32, f16, bf16, int8, int4 };
std::string_view name(WeightType type);

// A linear map y = W x as stored: [rows = outputs][cols = inputs], row-major. The bytes belong to the mapped file.
struct Matrix {
  WeightType type = WeightType::f32;
  int rows = 0;
  int cols = 0;
  const std::byte* data = nullptr;  // int4: two columns a byte, the even one in the low nibble, stored q + 8
  int group = 0;                    // int4, int8: columns that share a scale
  std::vector<float> scales;        // int4, int8: [rows][cols / group]

  // The same weights as the fast kernels read them (packed.h); null until packed. Owned by Model::packed.
  const PackedMatrix* packed = nullptr;

  std::size_t bytes() const;
};

// Gains or gates [rows][width]: a row for each loop that has its own. A loop beyond them takes the last row.
struct LoopGains {
  std::vector<float> values;
  std::size_t rows = 1;

  bool empty() const { return values.empty(); }
  std::size_t width() const { return values.size() / rows; }
  // The row of loop r = 1, 2, ...; null where there are none.
  const float* of(int r) const {
    return values.empty() ? nullptr : values.data() + (std::min(static_cast<std::size_t>(r), rows) - 1) * width();
  }
};

struct Layer {
  LoopGains input_norm;               // [rows][hidden]
  LoopGains attention_norm;           // [rows][hidden], before the MLP ("post_attention_layernorm")
  Matrix q, k, v, o;                  // [q_width][hidden], [kv_width][hidden] twice, [hidden][q_width]
  std::vector<float> q_bias, k_bias, v_bias;  // empty, or [q_width], [kv_width], [kv_width]
  LoopGains q_gain, k_gain;                   // qk_norm: [rows][head_dim]
  Matrix gate, up, down;                      // MLP: [intermediate][hidden] twice, [hidden][intermediate]
  LoopGains loop_gate_weight;                 // loops >= 2: [rows][heads][head_dim]
  LoopGains loop_gate_bias;                   // loops >= 2: [rows][heads]
};

struct Model {
  ModelConfig config;
  Matrix embedding;                           // [vocab][hidden]
  Matrix head;                                // [vocab][hidden]; unused where embeddings are tied
  LoopGains norm;                             // [rows][hidden]
  LoopGains loop_input_norm;                  // loopd: [rows][hidden]
  LoopGains loop_state_norm, loop_carry;      // loopd: [rows - 1][hidden], of(r - 1) for loop r >= 2; empty: ones, and no carry
  std::vector<Layer> layers;
  std::unique_ptr<Tokenizer> tokenizer;
  std::shared_ptr<const Safetensors> files;   // keeps the mapping alive
  std::shared_ptr<const PackedWeights> packed;  // null where the specification runs

  const Matrix& output() const { return config.tie_word_embeddings ? embedding : head; }
};

// Loads config.json, *.safetensors and tokenizer.json of a Hugging Face folder. A tensor that is missing, of another
// shape or type, or that nothing reads is an error that names it: unread gates would give fluent, wrong text.
// tokenizer.json may be absent where `need_tokenizer` is false.
std::unique_ptr<Model> load_model(const std::string& dir, bool need_tokenizer = true);

}  // namespace inference
