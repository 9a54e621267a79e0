// Of `loopd bench decode --speculation`: what guessed tokens are worth where people type, by the syntax at the cursor.
#pragma once

#include <memory>
#include <optional>

#include <nlohmann/json_fwd.hpp>

#include "inference/engine.h"
#include "lsp/settings.h"

namespace lsp {

// Completes at every tenth key of the recordings with guesses and without, in turns, and returns a row for each syntax
// class. `depth` none: the settings' policy. `limit`: places of each recording. Throws std::runtime_error where a guess
// changes a text.
nlohmann::json bench_typing(const std::shared_ptr<const inference::Engine>& engine, std::optional<int> depth, std::optional<int> limit,
                            const Settings& settings);

}  // namespace lsp
