// `loopd logits`: raw logits for token ids, for comparison with other implementations of the same model.
#include <cstdio>

#include <nlohmann/json.hpp>

#include "lsp/commands/commands.h"
#include "lsp/commands/open_model.h"

namespace lsp {

int print_logits(const Options& options, const Settings& settings) {
  // Ids in, numbers out: a checkpoint without a tokenizer will do, and any depth its blocks can loop to, so that a
  // comparison with another implementation can go beyond what the model was trained for.
  inference::EngineOptions wanted = engine_options(options, settings);
  wanted.need_tokenizer = false;
  const auto engine = inference::Engine::load(wanted);
  const int depth = options.depth.value_or(engine->info().max_depth);
  inference::Session session(engine);
  const std::vector<float> logits = session.logits(options.ids, depth, options.all);
  const std::size_t rows = options.all ? options.ids.size() : 1;
  const std::size_t width = logits.size() / rows;
  // Nine digits tell any two floats apart, which the JSON library's doubles would say with seventeen.
  std::printf("{\"depth\":%d,\"vocab\":%zu,\"logits\":[", depth, width);
  for (std::size_t row = 0; row < rows; ++row) {
    std::fputs(row == 0 ? "[" : ",[", stdout);
    for (std::size_t i = 0; i < width; ++i) {
      std::printf(i == 0 ? "%.9g" : ",%.9g", static_cast<double>(logits[row * width + i]));
    }
    std::fputs("]", stdout);
  }
  std::puts("]}");
  return 0;
}

}  // namespace lsp
