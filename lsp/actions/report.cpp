// An action's result is told as the completion that it would have been.
#include "lsp/actions/report.h"

#include <nlohmann/json.hpp>

#include "lsp/report.h"

namespace lsp {

using Json = nlohmann::json;

Json report(const ActionResult& result, const std::string& action, context::Language language, const std::string& model,
            const std::string& device) {
  Completion told;
  told.text = result.text;
  told.syntax_class = action == name(ActionKind::generate_module) ? context::SyntaxClass::module : context::SyntaxClass::function;
  told.depth = result.depth;
  told.steps = result.steps;
  told.finish_reason = result.finish_reason;
  told.timings = result.timings;
  told.explain = result.explain;
  Json out = report(told, language, model, device);
  out.erase("replace_after");
  out["action"] = action;
  out["cancelled"] = result.cancelled;
  out["files"] = Json::array();
  for (const FileChange& file : result.changes) {
    Json one = {{"create", file.create}};
    one[file.file.empty() ? "uri" : "file"] = file.file.empty() ? file.uri : file.file;
    out["files"].push_back(std::move(one));
  }
  return out;
}

std::string describe_report(const Json& report) {
  const auto word = [](const Json& json, const char* key) {
    const auto found = json.find(key);
    return found == json.end() ? std::string("?") : found->is_string() ? found->get<std::string>() : found->dump();
  };
  std::string out = word(report, "syntax_class") + ", depth " + word(report, "loop_depth") + ", " + word(report, "finish_reason");
  for (const Json& step : report.value("loop_steps", Json::array())) {
    out += "\n" + word(step, "step") + " " + word(step, "kind") + " " + word(step, "focus") + ", depth " + word(step, "depth") + ", " +
           word(step, "ms") + " ms";
  }
  for (const Json& sentence : report.value("explain", Json::array())) {
    if (sentence.is_string()) out += "\n" + sentence.get<std::string>();
  }
  return out;
}

}  // namespace lsp
