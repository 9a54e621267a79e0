// `loopd doctor`: what runs where, and what would stop a completion and why.
#include <chrono>
#include <cstdio>
#include <exception>
#include <vector>

#include <nlohmann/json.hpp>

#include "inference/chat.h"
#include "lsp/commands/commands.h"
#include "lsp/commands/open_model.h"
#include "lsp/completion.h"
#include "lsp/json_rpc.h"
#include "lsp/log.h"
#include "lsp/rendezvous.h"
#include "lsp/sessions.h"

namespace lsp {
namespace {

using Clock = std::chrono::steady_clock;

struct Finding {
  std::string subject;
  bool ok = true;
  std::string text;
};

std::string milliseconds(Clock::time_point start) {
  char text[32];
  std::snprintf(text, sizeof text, "%.0f ms", std::chrono::duration<double, std::milli>(Clock::now() - start).count());
  return text;
}

// A completion from end to end, in a text that any code model should be able to continue.
Finding try_completion(const std::shared_ptr<const inference::Engine>& engine) {
  Sessions sessions(engine);
  CompletionInput input;
  input.session = input.path = "doctor.py";
  input.language = context::Language::python;
  input.document = std::make_shared<const context::Document>("def add(a, b):\n    return ", 1);
  input.offset = input.document->text().size();
  input.options.max_tokens = 16;
  const auto start = Clock::now();
  const Completion completion = complete(sessions.port(), input, {});
  const std::string took = " in " + milliseconds(start);
  if (completion.text.empty()) {
    std::string why;
    for (const std::string& sentence : completion.explain) why += "; " + sentence;
    return {"completion", false, "nothing was suggested behind \"def add(a, b): return\"" + took + why};
  }
  return {"completion", true, "\"def add(a, b): return " + completion.text + "\"" + took};
}

std::vector<Finding> examine_model(const Options& options, const Settings& settings) {
  std::vector<Finding> findings;
  const char* subject = "model";
  try {
    findings.push_back({subject, true, model_folder(options, settings)});
    subject = "engine";
    const auto start = Clock::now();
    const auto engine = open_engine(options, settings);
    const inference::EngineInfo& info = engine->info();
    findings.push_back({subject, true, describe(info) + "; loaded in " + milliseconds(start)});
    findings.push_back({"device", true, info.device + ", kernels " + info.kernels + (info.device_reason.empty() ? "" : ": " + info.device_reason)});
    const std::size_t tokens = settings.context_tokens;
    findings.push_back({"cache", true,
                        std::to_string(info.kv_bytes_per_token) + " bytes per token and document, " +
                            std::to_string(info.kv_bytes_per_token * tokens / 1000000) + " MB for a prompt of " +
                            std::to_string(tokens) + " tokens"});
    const bool fim = engine->fim_layout() != inference::FimLayout::none;
    findings.push_back({"fill-in", fim, fim ? "the model sees text behind the cursor, too"
                                            : "the model has no fill-in-the-middle tokens: it does not see what stands behind the cursor"});
    if (const inference::ChatTemplate* chat = engine->chat()) {
      const bool ok = chat->error().empty();
      findings.push_back({"chat", ok || !engine->instructs(),
                          !ok ? chat->error() : engine->instructs() ? "code actions are asked of the model, by its chat template" : "the model has a chat template, but was not trained to answer: code actions fill in the middle"});
    }
    subject = "completion";
    findings.push_back(try_completion(engine));
  } catch (const std::exception& error) {
    findings.push_back({subject, false, error.what()});
  }
  return findings;
}

Finding examine_sharing() {
  try {
    return {"sharing", true, "editors share one engine process; they meet in " + runtime_folder()};
  } catch (const CannotShare& error) {
    return {"sharing", true, std::string("each editor loads a model of its own: ") + error.what()};
  }
}

std::vector<Finding> examine_settings(const Settings& settings) {
  std::vector<Finding> findings;
  std::string languages = "all";
  if (!settings.languages.empty()) {
    languages = "only";
    for (const std::string& language : settings.languages) languages += " " + language;
  }
  findings.push_back({"languages", true, languages + " (loopd.languages)"});
  findings.push_back({"comments", true,
                      settings.comments ? "completed, too (loopd.comments)" : "not completed, nor are strings (loopd.comments)"});
  findings.push_back({"excluded", true,
                      std::to_string(settings.exclude.size()) + " patterns such as .env and *.pem keep files out of completion and prompts (loopd.exclude)"});
  findings.push_back({"editors", true,
                      "ghost text needs VS Code with the loopd extension, Neovim 0.12 or JetBrains with LSP4IJ; elsewhere "
                      "suggestions come in the completion popup"});
  return findings;
}

}  // namespace

int doctor(const Options& options, const Settings& settings) {
  std::vector<Finding> findings = examine_model(options, settings);
  findings.push_back(examine_sharing());
  for (Finding& finding : examine_settings(settings)) findings.push_back(std::move(finding));
  bool healthy = true;
  Json list = Json::array();
  for (const Finding& finding : findings) {
    healthy = healthy && finding.ok;
    list.push_back({{"subject", finding.subject}, {"ok", finding.ok}, {"text", finding.text}});
    if (!options.json) std::printf("%-4s %-10s  %s\n", finding.ok ? "ok" : "!!", finding.subject.c_str(), finding.text.c_str());
  }
  if (options.json) std::puts(to_text({{"healthy", healthy}, {"findings", list}}).c_str());
  return healthy ? 0 : 1;
}

}  // namespace lsp
