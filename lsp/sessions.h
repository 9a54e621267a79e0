// Gives each document its own engine session, so that a keystroke recomputes only what it changed.
#pragma once

#include <cstddef>
#include <list>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "inference/engine.h"
#include "lsp/completion.h"
#include "lsp/turns.h"

namespace lsp {

// For one thread only. Sessions hold a cache each, so that only the most recently used stay.
//
// Where several of these share an engine, each with a thread of its own, they take `turns`: a step is one generated token
// or 64 tokens of a prompt. A session belongs to one client and document, so what others do between two steps changes
// nothing in it.
class Sessions {
 public:
  explicit Sessions(std::shared_ptr<const inference::Engine> engine, std::size_t most = 4, Turns* turns = nullptr);

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
    std::size_t prefetched = 0;  // tokens computed since the last answer that nobody was told of yet
  };
  Named& named(const std::string& name);
  inference::GenerateResult generate_in(const std::string& name, const inference::Engine::Encoded& encoded,
                                        inference::GenerateParams params, std::stop_token stop);
  static void fill_cache(Named& place, const std::vector<inference::TokenId>& tokens, std::size_t known, Turn& turn, std::stop_token stop);
  static std::size_t computed_since(std::size_t reused, const Named& place, const std::vector<inference::TokenId>& tokens);
  std::shared_ptr<const inference::Engine> engine_;
  std::size_t most_;
  Turns* turns_;
  std::list<Named> sessions_;  // most recently used first
};

}  // namespace lsp
