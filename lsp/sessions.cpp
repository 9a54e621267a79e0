// Least recently used sessions go first; prompts are encoded in the model's own layout.
#include "lsp/sessions.h"

#include <algorithm>
#include <utility>

namespace lsp {
namespace {

// A model without fill-in-the-middle tokens still continues the prefix.
inference::Engine::Encoded encode(const inference::Engine& engine, const inference::FimPrompt& prompt) {
  if (engine.fim_layout() == inference::FimLayout::none) return engine.encode_text(prompt.prefix, false);
  return engine.encode_fim(prompt);
}

}  // namespace

Sessions::Sessions(std::shared_ptr<const inference::Engine> engine, std::size_t most)
    : engine_(std::move(engine)), most_(std::max<std::size_t>(1, most)) {}

inference::Session& Sessions::at(const std::string& name) {
  const auto found = std::find_if(sessions_.begin(), sessions_.end(), [&](const Named& one) { return one.name == name; });
  if (found != sessions_.end()) {
    sessions_.splice(sessions_.begin(), sessions_, found);
  } else {
    // The old one goes first, so that two caches more than wanted never exist.
    if (sessions_.size() >= most_) sessions_.pop_back();
    sessions_.push_front({name, inference::Session(engine_)});
  }
  return sessions_.front().session;
}

ModelPort Sessions::port() {
  ModelPort port;
  port.max_depth = engine_->info().max_depth;
  port.context = engine_->info().context;
  port.count = [engine = engine_](std::string_view text) { return engine->tokenizer().encode(text, false).size(); };
  port.token_bytes = [engine = engine_](inference::TokenId id) { return engine->tokenizer().bytes(id).size(); };
  port.generate = [this](const std::string& name, const inference::FimPrompt& prompt,
                         const inference::GenerateParams& params, std::stop_token stop) {
    const auto encoded = encode(*engine_, prompt);
    inference::GenerateParams full = params;
    full.forced = encoded.forced;
    return at(name).generate(encoded.tokens, full, std::move(stop));
  };
  port.prefill = [this](const std::string& name, const inference::FimPrompt& prompt, int depth, std::stop_token stop) {
    at(name).sync(encode(*engine_, prompt).tokens, depth, std::move(stop));
  };
  return port;
}

inference::GenerateResult Sessions::generate(const GenerateRequest& request, std::stop_token stop) {
  const inference::FimPrompt fim{"", {}, request.prompt, request.suffix ? std::string_view(*request.suffix) : ""};
  const auto encoded = request.suffix ? engine_->encode_fim(fim) : engine_->encode_text(request.prompt);
  inference::GenerateParams params = request.params;
  params.depth = std::clamp(params.depth, 1, engine_->info().max_depth);
  params.forced = encoded.forced;
  return at("loopd/generate").generate(encoded.tokens, params, std::move(stop));
}

}  // namespace lsp
