// `loopd tokenize` and `loopd detokenize`: stdin to token ids and back, byte for byte.
#include <cstdio>
#include <stdexcept>

#include <nlohmann/json.hpp>

#include "inference/tokenizer.h"
#include "lsp/commands/commands.h"
#include "lsp/commands/open_model.h"
#include "lsp/commands/standard_input.h"
#include "lsp/json_rpc.h"

namespace lsp {
namespace {

// Only the tokenizer: the weights are not needed.
inference::Tokenizer open_tokenizer(const Options& options, const Settings& settings) {
  return inference::Tokenizer::load(model_folder(options, settings) + "/tokenizer.json");
}

}  // namespace

int tokenize(const Options& options, const Settings& settings) {
  const Json ids = open_tokenizer(options, settings).encode(read_standard_input());
  std::puts(to_text(ids).c_str());
  return 0;
}

int detokenize(const Options& options, const Settings& settings) {
  const Json json = Json::parse(read_standard_input(), nullptr, false);
  if (!json.is_array()) throw std::runtime_error("stdin must hold a JSON array of token ids");
  std::vector<inference::TokenId> ids;
  for (const Json& id : json) {
    if (!id.is_number_integer()) throw std::runtime_error("stdin: " + to_text(id) + " is no token id");
    ids.push_back(id.get<inference::TokenId>());
  }
  const std::string text = open_tokenizer(options, settings).decode(ids);
  std::fwrite(text.data(), 1, text.size(), stdout);
  return 0;
}

}  // namespace lsp
