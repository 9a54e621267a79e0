// One place that knows both structs.
#include "lsp/generation.h"

#include <algorithm>

namespace lsp {

Sessions::GenerateRequest engine_request(const GenerateParams& params, std::optional<int> depth, int max_depth) {
  Sessions::GenerateRequest request{params.prompt, params.suffix, {}};
  request.params.depth = std::clamp(depth.value_or(params.loop_depth.value_or(max_depth)), 1, max_depth);
  request.params.max_tokens = params.max_tokens;
  request.params.temperature = static_cast<float>(params.temperature);
  request.params.top_p = static_cast<float>(params.top_p);
  request.params.seed = params.seed;
  return request;
}

}  // namespace lsp
