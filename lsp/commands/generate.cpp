// `loopd generate`: one request as JSON on stdin, its result as JSON on stdout.
#include <algorithm>
#include <cstdio>
#include <stdexcept>

#include <nlohmann/json.hpp>

#include "lsp/commands/commands.h"
#include "lsp/commands/open_model.h"
#include "lsp/commands/standard_input.h"
#include "lsp/json_rpc.h"
#include "lsp/protocol.h"
#include "lsp/report.h"
#include "lsp/sessions.h"

namespace lsp {

int generate_text(const Options& options, const Settings& settings) {
  const Json json = Json::parse(read_standard_input(), nullptr, false);
  if (!json.is_object()) throw std::runtime_error("stdin must hold one JSON object: {\"prompt\": \"...\"}");
  const GenerateParams read = read_generate(json);
  const auto engine = open_engine(options, settings);
  Sessions sessions(engine);
  Sessions::GenerateRequest request{read.prompt, read.suffix, {}};
  const int most = engine->info().max_depth;
  request.params.depth = std::clamp(options.depth.value_or(read.loop_depth.value_or(most)), 1, most);
  request.params.max_tokens = read.max_tokens;
  request.params.temperature = static_cast<float>(read.temperature);
  request.params.top_p = static_cast<float>(read.top_p);
  request.params.seed = read.seed;
  const auto result = sessions.generate(request, {});
  std::puts(to_text(report(result, request.params.depth, engine->info().model_dir, engine->info().device)).c_str());
  return 0;
}

}  // namespace lsp
