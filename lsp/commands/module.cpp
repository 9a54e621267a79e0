// `loopd module DIR`: generates a module into a folder from the shell; lists the files and asks before it writes.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <unistd.h>

#include <nlohmann/json.hpp>

#include "lsp/actions/report.h"
#include "lsp/commands/commands.h"
#include "lsp/commands/open_model.h"
#include "lsp/files.h"
#include "lsp/json_rpc.h"
#include "lsp/actions/module.h"
#include "lsp/actions/module_plan.h"
#include "lsp/report.h"
#include "lsp/sessions.h"

namespace lsp {
namespace {

std::size_t lines_of(const std::string& text) { return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')); }

bool asked_yes() {
  std::fputs("Write them? [y/N] ", stderr);
  std::string answer;
  std::getline(std::cin, answer);
  return answer == "y" || answer == "Y" || answer == "yes";
}

}  // namespace

int make_module(const Options& options, const Settings& settings) {
  ModuleRequest request;
  request.folder = std::filesystem::absolute(options.arguments[0]).lexically_normal().string();
  request.about = options.about;
  request.language = context::detect_language(options.language, "");
  if (!options.language.empty() && !can_plan_module(request.language)) {
    throw std::runtime_error("--language " + options.language + ": modules can be made for " + plannable_languages());
  }
  request.options.depth = options.depth.value_or(settings.depth.module.explicit_);
  request.options.max_tokens = options.max_tokens.value_or(request.options.max_tokens);
  request.options.budget.total = settings.context_tokens;
  request.options.external_check = settings.check_actions;
  request.read_file = read_small_file;
  const bool terminal = isatty(STDERR_FILENO) == 1;
  request.options.progress = [&](const std::string& doing) {
    if (terminal) std::fprintf(stderr, "\r\x1b[K%s", doing.c_str());
  };
  const auto engine = open_engine(options, settings);
  Sessions sessions(engine);
  const ActionResult result = generate_module(sessions.port(), request, {});
  if (terminal) std::fputs("\r\x1b[K", stderr);
  if (options.json) {
    const auto language = result.changes.empty() ? request.language : context::detect_language("", result.changes.front().file);
    std::puts(to_text(report(result, "module", language, engine->info().model_dir, engine->info().device)).c_str());
  }
  if (result.changes.empty()) throw std::runtime_error(result.explain.empty() ? "nothing was generated" : result.explain.back());

  std::vector<std::pair<std::string, std::string>> files;
  for (const FileChange& change : result.changes) files.emplace_back(change.file, change.changes.front().text);
  std::FILE* out = options.json ? stderr : stdout;
  for (const auto& [file, text] : files) std::fprintf(out, "%6zu lines  %s\n", lines_of(text), file.c_str());
  if (!options.json) std::fputs(describe_steps(result.steps).c_str(), stdout);
  std::fflush(stdout);
  if (!options.yes && !asked_yes()) {
    std::fputs("nothing was written\n", stderr);
    return 1;
  }
  const std::string problem = write_new_files(files);
  if (!problem.empty()) throw std::runtime_error(problem + "; nothing was written");
  return 0;
}

}  // namespace lsp
