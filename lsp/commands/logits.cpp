// `loopd logits`: raw logits for token ids, for comparison with other implementations of the same model.
#include <cstdio>
#include <stdexcept>

#include <nlohmann/json.hpp>

#include "lsp/commands/commands.h"
#include "lsp/commands/open_model.h"

namespace lsp {

int print_logits(const Options& options, const Settings& settings) {
  const auto engine = open_engine(options, settings);
  const int most = engine->info().max_depth;
  const int depth = options.depth.value_or(most);
  if (depth > most) {
    throw std::runtime_error("--depth " + std::to_string(depth) + ": this model has depths 1 to " + std::to_string(most));
  }
  const std::size_t vocabulary = engine->tokenizer().size();
  for (const int id : options.ids) {
    if (static_cast<std::size_t>(id) >= vocabulary) {
      throw std::runtime_error("--ids: " + std::to_string(id) + " is no token of this model; they end at " + std::to_string(vocabulary - 1));
    }
  }
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
