// Checkpoints that do not fit: each is refused with one line naming the key or tensor, expected and found.
#include "inference/model.h"

#include <doctest/doctest.h>

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "tests/inference/golden.h"

using namespace inference;
using nlohmann::json;

namespace {

// A copy of a golden checkpoint whose config or tensor names a test changes, removed at the end.
class Copy {
 public:
  explicit Copy(const std::string& name) : dir_(std::filesystem::temp_directory_path() / ("loopd-model-test-" + std::to_string(getpid()))) {
    std::filesystem::remove_all(dir_);
    std::filesystem::copy(golden::dir(name), dir_);
  }
  ~Copy() { std::filesystem::remove_all(dir_); }

  std::string dir() const { return dir_.string(); }
  void set(const std::string& key, const json& value) {
    std::ifstream in(dir_ / "config.json");
    json config = json::parse(in);
    if (value.is_discarded()) {
      config.erase(key);
    } else {
      config[key] = value;
    }
    std::ofstream(dir_ / "config.json") << config;
  }
  // Replaces bytes of the tensor file; the lengths must be equal, so that offsets stay right.
  void rewrite(const std::string& from, const std::string& to) {
    REQUIRE(from.size() == to.size());
    std::ifstream in(dir_ / "model.safetensors", std::ios::binary);
    std::string bytes{std::istreambuf_iterator<char>(in), {}};
    for (std::size_t at = bytes.find(from); at != std::string::npos; at = bytes.find(from, at + 1)) bytes.replace(at, from.size(), to);
    std::ofstream(dir_ / "model.safetensors", std::ios::binary) << bytes;
  }
  std::string error() const {
    try {
      load_model(dir(), false);
    } catch (const std::runtime_error& error) {
      return error.what();
    }
    return "";
  }

 private:
  std::filesystem::path dir_;
};

}  // namespace

TEST_CASE("config.json: a key that is missing, wrong or unsupported is named") {
  struct Case {
    std::string key;
    json value;
    std::string expected;
  };
  const json missing = json(json::value_t::discarded);
  const Case cases[] = {
      {"model_type", missing, "key \"model_type\" is missing"},
      {"model_type", "mamba", "model_type \"mamba\" is not supported; known are"},
      {"hidden_size", missing, "key \"hidden_size\" is missing; expected a positive integer"},
      {"hidden_size", -3, "key \"hidden_size\" is -3"},
      {"num_hidden_layers", "two", "key \"num_hidden_layers\" is \"two\""},
      {"num_key_value_heads", 3, "4 is no multiple of num_key_value_heads 3"},
      {"rms_norm_eps", 0, "key \"rms_norm_eps\" is 0; expected a positive number"},
      {"rope_scaling", json{{"type", "linear"}}, "\"rope_scaling\": {\"type\":\"linear\"} is not supported"},
      {"hidden_act", "gelu", "hidden_act \"gelu\" is not supported"},
      {"loop_num", missing, "key \"loop_num\" is missing"},
      {"quantization_config", json{{"quant_method", "awq"}}, "quant_method \"awq\""},
      {"eos_token_id", "x", "key \"eos_token_id\" is \"x\""},
  };
  for (const Case& c : cases) {
    Copy copy("iquest_tiny");
    copy.set(c.key, c.value);
    CAPTURE(c.key);
    const std::string error = copy.error();
    CAPTURE(error);
    CHECK(error.find("config.json: ") != std::string::npos);
    CHECK(error.find(c.expected) != std::string::npos);
    CHECK(error.find('\n') == std::string::npos);
  }
}

TEST_CASE("tensors: one that is missing, misshapen or unread is named") {
  {
    Copy copy("iquest_tiny");
    copy.rewrite("layers.1.self_attn.k_proj", "layers.1.self_attn.k_prxj");
    CHECK(copy.error().find("tensor model.layers.1.self_attn.k_proj.weight is missing; expected shape [16, 32]") != std::string::npos);
  }
  {
    Copy copy("iquest_tiny");
    copy.set("intermediate_size", 40);
    CHECK(copy.error().find("tensor model.layers.0.mlp.gate_proj.weight: expected shape [40, 32], found [48, 32]") != std::string::npos);
  }
  {
    // The gates of a looped model read as a plain one would give fluent, wrong text.
    Copy copy("iquest_tiny");
    copy.set("model_type", "llama");
    CHECK(copy.error().find("tensor model.gate_projections.0.bias is not read by model_type \"llama\" (4 such tensors)") != std::string::npos);
  }
  {
    Copy copy("iquest_tiny");
    std::filesystem::resize_file(copy.dir() + "/model.safetensors", 50000);
    CHECK(copy.error().find("the file may be cut off") != std::string::npos);
  }
  {
    Copy copy("iquest_tiny");
    std::filesystem::remove(copy.dir() + "/model.safetensors");
    CHECK(copy.error().find("model.safetensors: cannot open") != std::string::npos);
  }
  CHECK_THROWS_WITH(load_model("/nonexistent"), doctest::Contains("/nonexistent/config.json: cannot be read"));
}

TEST_CASE("a looped checkpoint at depth 1 is the plain Llama pass over the same weights") {
  const auto expected = golden::load("iquest_tiny");
  const auto engine = golden::engine(golden::dir("iquest_tiny"), true);
  Session session(engine);
  CHECK(engine->info().max_depth == 2);
  CHECK(session.logits(expected.ids, 1).size() == 97);
  CHECK_THROWS_WITH(session.logits(expected.ids, 0), doctest::Contains("depth 0 is not available"));
  CHECK_THROWS_WITH(session.logits(std::vector<TokenId>{97}, 1), doctest::Contains("token id 97 is outside the vocabulary of 97"));
  CHECK_THROWS_WITH(session.logits(std::vector<TokenId>{}, 1), doctest::Contains("no tokens"));
}
