// `loopd generate`: one request as JSON on stdin, its result as JSON on stdout.
#include <cstdio>
#include <stdexcept>

#include <nlohmann/json.hpp>

#include "lsp/commands/commands.h"
#include "lsp/commands/open_model.h"
#include "lsp/commands/standard_input.h"
#include "lsp/generation.h"
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
  const auto request = engine_request(read, options.depth, engine->info().max_depth);
  const auto result = sessions.generate(request, {});
  std::puts(to_text(report(result, request.params.depth, engine->info().model_dir, engine->info().device)).c_str());
  return 0;
}

}  // namespace lsp
