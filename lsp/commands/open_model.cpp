// The order in which a model is looked for.
#include "lsp/commands/open_model.h"

#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "lsp/log.h"

namespace lsp {
namespace {

namespace fs = std::filesystem;

bool holds_model(const fs::path& folder) {
  std::error_code ignored;
  return fs::exists(folder / "config.json", ignored);
}

}  // namespace

std::string model_folder(const Options& options, const Settings& settings) {
  if (!options.model.empty()) return options.model;
  const char* environment = std::getenv("LOOPD_MODEL");
  if (environment && *environment) return environment;
  if (!settings.model.empty()) return settings.model;
  std::error_code error;
  const fs::path binary = fs::read_symlink("/proc/self/exe", error);
  const fs::path folder = binary.parent_path();
  // Installed, and in the build folder build/<preset>/ of a checkout.
  for (const fs::path& place : {folder / "../share/loopd/models/default", folder / "../../models/default"}) {
    if (holds_model(place)) return place.lexically_normal().string();
  }
  throw std::runtime_error("no model: neither --model, $LOOPD_MODEL nor loopd.model is set, and there is none in " +
                           (folder / "../../models/default").lexically_normal().string());
}

inference::EngineOptions engine_options(const Options& options, const Settings& settings) {
  inference::EngineOptions engine;
  engine.model_dir = model_folder(options, settings);
  engine.device = options.device.empty() ? settings.device : options.device;
  engine.threads = options.threads.value_or(settings.threads);
  engine.reference = options.reference;
  return engine;
}

std::shared_ptr<const inference::Engine> open_engine(const Options& options, const Settings& settings) {
  return inference::Engine::load(engine_options(options, settings));
}

LoadedModel with_sessions(const std::shared_ptr<const inference::Engine>& engine, Turns* turns) {
  constexpr std::size_t most = 4;  // documents whose cache is kept
  // A GPU runs several requests in one batch, and is fair to them; taking turns would keep them apart.
  struct Owned {
    Owned(const std::shared_ptr<const inference::Engine>& used, Turns* given)
        : sessions(used, most, used->info().device == "cuda" ? nullptr : given ? given : &turns) {}
    Turns turns;  // where nobody else uses the engine
    Sessions sessions;
  };
  const auto owned = std::make_shared<Owned>(engine, turns);
  LoadedModel loaded;
  loaded.model = engine->info().model_dir;
  loaded.device = engine->info().device;
  loaded.summary = describe(engine->info());
  loaded.port = owned->sessions.port();
  loaded.generate = [owned](const Sessions::GenerateRequest& request, std::stop_token stop) {
    return owned->sessions.generate(request, std::move(stop));
  };
  loaded.owner = owned;
  return loaded;
}

}  // namespace lsp
