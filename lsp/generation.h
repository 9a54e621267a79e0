// A generation request of the protocol as the engine takes it.
#pragma once

#include <optional>

#include "lsp/protocol.h"
#include "lsp/sessions.h"

namespace lsp {

// `depth` wins over what the request wants; without either it is the model's greatest, and never more than that.
Sessions::GenerateRequest engine_request(const GenerateParams& params, std::optional<int> depth, int max_depth);

}  // namespace lsp
