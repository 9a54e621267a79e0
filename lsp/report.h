// The one JSON form of a completion and of a generation: for --json, loopd/explain, loopd/generate and the evaluation.
#pragma once

#include <string>

#include <nlohmann/json_fwd.hpp>

#include "context/language.h"
#include "inference/engine.h"
#include "lsp/completion.h"

namespace lsp {

// {"text","language","syntax_class","loop_depth","loop_steps","finish_reason","timings_ms","model","device",
//  "replace_after","explain"}
nlohmann::json report(const Completion& completion, context::Language language, const std::string& model,
                      const std::string& device);

// {"text","loop_depth","loop_steps","finish_reason","timings_ms","model","device"}
nlohmann::json report(const inference::GenerateResult& result, int depth, const std::string& model,
                      const std::string& device);

// The trace as lines for people: "1 draft  condition  depth 3  12 tokens  31.5 ms".
std::string describe_steps(const std::vector<LoopStep>& steps);

}  // namespace lsp
