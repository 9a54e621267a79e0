// Gives each document its own engine session, so that a keystroke recomputes only what it changed.
#pragma once

#include <chrono>
#include <cstddef>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "inference/engine.h"
#include "lsp/completion.h"
#include "lsp/turns.h"

namespace lsp {

// Sessions hold a cache each, so that only the most recently used stay.
//
// For any number of threads. Those that share an engine, here or in other objects of this class, take `turns`: a step is
// one generated token or 64 tokens of a prompt. A session belongs to one thread while it computes, so what others do
// between two steps changes nothing in it; whoever comes for a session that is in use gets a second one of that name.
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

 private:
  struct Named {
    std::string name;
    inference::Session session;
    std::size_t prefetched = 0;  // tokens computed since the last answer that nobody was told of yet
    bool used = false;           // by a thread, whose all else is then
  };
  class Use;
  inference::GenerateResult generate_in(const std::string& name, const inference::Engine::Encoded& encoded,
                                        inference::GenerateParams params, std::stop_token stop);
  static void fill_cache(Named& place, const std::vector<inference::TokenId>& tokens, std::size_t known, Turn& turn, std::stop_token stop,
                         std::optional<std::chrono::steady_clock::time_point> deadline = {});
  static std::size_t computed_since(std::size_t reused, const Named& place, const std::vector<inference::TokenId>& tokens);
  std::shared_ptr<const inference::Engine> engine_;
  std::size_t most_;
  Turns* turns_;
  std::mutex mutex_;           // guards which sessions there are and who uses them
  std::list<Named> sessions_;  // most recently used first
};

}  // namespace lsp
