// Tiny checkpoints with logits computed elsewhere (NumPy, PyTorch), as the tests read them.
#pragma once

#include <cstring>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "inference/engine.h"
#include "inference/safetensors.h"

namespace golden {

inline std::string dir(const std::string& name) { return std::string(LOOPD_SOURCE_DIR) + "/tests/golden/" + name; }

struct Golden {
  std::vector<inference::TokenId> ids;
  std::vector<std::size_t> rows;  // positions whose logits are kept
  std::map<int, std::vector<float>> logits;  // depth -> [rows][vocab]
};

inline Golden load(const std::string& name) {
  Golden golden;
  std::ifstream ids(dir(name) + "/ids.json");
  const auto json = nlohmann::json::parse(ids);
  golden.ids = json.at("ids").get<std::vector<inference::TokenId>>();
  for (std::size_t i = 0; i < golden.ids.size(); ++i) golden.rows.push_back(i);
  if (json.contains("rows")) golden.rows = json.at("rows").get<std::vector<std::size_t>>();
  std::ifstream stream(dir(name) + "/logits.safetensors", std::ios::binary);
  const std::string image{std::istreambuf_iterator<char>(stream), {}};
  for (const auto& [key, tensor] : inference::parse_safetensors(std::as_bytes(std::span(image)), "logits.safetensors")) {
    auto& values = golden.logits[std::stoi(key.substr(key.find('_') + 1))];
    values.resize(tensor.data.size() / sizeof(float));
    std::memcpy(values.data(), tensor.data.data(), tensor.data.size());
  }
  return golden;
}

inline std::shared_ptr<const inference::Engine> engine(const std::string& folder, bool reference, int threads = 2) {
  inference::EngineOptions options;
  options.model_dir = folder;
  options.device = "cpu";
  options.reference = reference;
  options.need_tokenizer = false;
  options.threads = threads;
  return inference::Engine::load(options);
}

}  // namespace golden
