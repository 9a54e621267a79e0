// Gives each document its own engine session, so that a keystroke recomputes only what it changed.
#pragma once

#include <cstddef>
#include <list>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "inference/engine.h"
#include "lsp/completion.h"

namespace lsp {

// For the engine thread only. Sessions hold a cache each, so that only the most recently used stay.
class Sessions {
 public:
  Sessions(std::shared_ptr<const inference::Engine> engine, std::size_t most = 4);

  // The spine's view of this engine; valid as long as this object is.
  ModelPort port();

  struct GenerateRequest {
    std::string prompt;
    std::optional<std::string> suffix;  // given: fill in the middle
    inference::GenerateParams params;
  };
  inference::GenerateResult generate(const GenerateRequest& request, std::stop_token stop);

  inference::Session& at(const std::string& name);

 private:
  struct Named {
    std::string name;
    inference::Session session;
  };
  std::shared_ptr<const inference::Engine> engine_;
  std::size_t most_;
  std::list<Named> sessions_;  // most recently used first
};

}  // namespace lsp
