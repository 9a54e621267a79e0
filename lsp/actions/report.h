// The JSON and the text for people of what an action did: the same shape as a completion's, with the files it changed.
#pragma once

#include <string>

#include <nlohmann/json_fwd.hpp>

#include "lsp/actions/actions.h"

namespace lsp {

// A completion's report (report.h) with "action", "cancelled" and "files": [{"file" or "uri", "create"}].
nlohmann::json report(const ActionResult& result, const std::string& action, context::Language language,
                      const std::string& model, const std::string& device);

// A report, a completion's or an action's, in a few lines.
std::string describe_report(const nlohmann::json& report);

}  // namespace lsp
