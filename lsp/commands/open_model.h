// Finds the model that the user means and loads it.
#pragma once

#include <memory>
#include <string>

#include "inference/engine.h"
#include "lsp/cli.h"
#include "lsp/server.h"
#include "lsp/settings.h"

namespace lsp {

// The model's folder: --model, $LOOPD_MODEL, the setting loopd.model, else the one that comes with loopd, beside the
// binary. Throws std::runtime_error where there is none.
std::string model_folder(const Options& options, const Settings& settings);

inference::EngineOptions engine_options(const Options& options, const Settings& settings);
std::shared_ptr<const inference::Engine> open_engine(const Options& options, const Settings& settings);

// The engine with sessions of its own; `turns` where others use it, too.
LoadedModel with_sessions(const std::shared_ptr<const inference::Engine>& engine, Turns* turns = nullptr);

}  // namespace lsp
