// Least recently used sessions go first; prompts are encoded in the model's own layout.
#include "lsp/sessions.h"

#include <algorithm>
#include <chrono>
#include <span>
#include <utility>

namespace lsp {
namespace {

// Tokens of a prompt that are computed before others get their turn; what the engine runs in one go.
constexpr std::size_t slice = 64;

// A model without fill-in-the-middle tokens still continues the prefix.
inference::Engine::Encoded encode(const inference::Engine& engine, const inference::FimPrompt& prompt) {
  if (engine.fim_layout() == inference::FimLayout::none) return engine.encode_text(prompt.prefix, false);
  return engine.encode_fim(prompt);
}

}  // namespace

Sessions::Sessions(std::shared_ptr<const inference::Engine> engine, std::size_t most, Turns* turns)
    : engine_(std::move(engine)), most_(std::max<std::size_t>(1, most)), turns_(turns) {}

// A session in the hands of one thread.
class Sessions::Use {
 public:
  Use(Sessions& all, const std::string& name) : all_(all) {
    const std::lock_guard lock(all.mutex_);
    auto& sessions = all.sessions_;
    auto found = std::find_if(sessions.begin(), sessions.end(), [&](const Named& one) { return one.name == name && !one.used; });
    if (found == sessions.end()) {
      // An old one goes first, so that two caches more than wanted never exist.
      shrink(all.most_ - 1);
      found = sessions.insert(sessions.begin(), {name, inference::Session(all.engine_)});
    }
    sessions.splice(sessions.begin(), sessions, found);
    named_ = &*found;
    named_->used = true;
  }
  ~Use() {
    const std::lock_guard lock(all_.mutex_);
    named_->used = false;
    shrink(all_.most_);  // where more were in use than are kept
  }
  Use(const Use&) = delete;
  Use& operator=(const Use&) = delete;

  Named& operator*() const { return *named_; }

 private:
  // The least recently used go, but none that is in use.
  void shrink(std::size_t most) {
    auto& sessions = all_.sessions_;
    for (auto one = sessions.end(); sessions.size() > most && one != sessions.begin();) {
      --one;
      if (!one->used) one = sessions.erase(one);
    }
  }

  Sessions& all_;
  Named* named_;
};

// Computes loop 1 of the prompt from `known` tokens on up to its last slice, one slice a turn; what deeper loops need is a
// window at the end and is left to the caller.
void Sessions::fill_cache(Named& place, const std::vector<inference::TokenId>& tokens, std::size_t known, Turn& turn, std::stop_token stop,
                          std::optional<std::chrono::steady_clock::time_point> deadline) {
  for (std::size_t end = known + slice; end < tokens.size(); end += slice) {
    const std::span<const inference::TokenId> part(tokens.data(), end);
    if (!place.session.sync(part, 1, stop) || !turn.give_way()) break;
    if (deadline && std::chrono::steady_clock::now() >= *deadline) break;
  }
}

// Tokens of the prompt that were computed since `reused` of them were known, which may be fewer than all.
std::size_t Sessions::computed_since(std::size_t reused, const Named& place, const std::vector<inference::TokenId>& tokens) {
  const std::size_t now = std::min(place.session.cached_tokens(), tokens.size());
  return now - std::min(now, reused);
}

inference::GenerateResult Sessions::generate_in(const std::string& name, const inference::Engine::Encoded& encoded,
                                                inference::GenerateParams params, std::stop_token stop) {
  params.forced = encoded.forced;
  inference::GenerateResult result;
  result.finish = inference::FinishReason::cancelled;
  const auto start = std::chrono::steady_clock::now();
  Turn turn(turns_, params.background ? Urgency::background : Urgency::request, stop);
  if (!turn.held()) return result;
  const Use use(*this, name);
  Named& place = *use;
  const std::size_t reused = place.session.adopt(encoded.tokens);
  result.timings.prompt_tokens = encoded.tokens.size();
  if (turns_) fill_cache(place, encoded.tokens, reused, turn, stop, params.deadline);
  if (turn.held() && !stop.stop_requested()) {
    const std::chrono::duration<double, std::milli> filling = std::chrono::steady_clock::now() - start;
    params.stop_rule = [&turn, rule = std::move(params.stop_rule)](std::string_view text) {
      return (rule && rule(text)) || !turn.give_way();
    };
    result = place.session.generate(encoded.tokens, params, std::move(stop));
    if (!turn.held()) result.finish = inference::FinishReason::cancelled;
    result.timings.prefill_ms += filling.count();
  }
  result.timings.reused_tokens = reused;
  result.timings.computed_tokens = computed_since(reused, place, encoded.tokens);
  if (params.background || result.finish == inference::FinishReason::cancelled) {
    place.prefetched += result.timings.computed_tokens;
  } else {
    result.timings.prefetched_tokens = std::exchange(place.prefetched, 0);
  }
  return result;
}

ModelPort Sessions::port() {
  ModelPort port;
  port.max_depth = engine_->info().max_depth;
  port.context = engine_->info().context;
  port.count = [engine = engine_](std::string_view text) { return engine->tokenizer().encode(text, false).size(); };
  port.token_bytes = [engine = engine_](inference::TokenId id) { return engine->tokenizer().bytes(id).size(); };
  port.generate = [this](const std::string& name, const inference::FimPrompt& prompt,
                         const inference::GenerateParams& params, std::stop_token stop) {
    return generate_in(name, encode(*engine_, prompt), params, std::move(stop));
  };
  if (engine_->instructs()) {
    port.answer = [this](const std::string& name, const std::string& system, const std::string& user,
                         const inference::GenerateParams& params, std::stop_token stop) {
      return generate_in(name, engine_->encode_chat(system, user), params, std::move(stop));
    };
  }
  port.prefill = [this](const std::string& name, const inference::FimPrompt& prompt, int depth, std::stop_token stop) {
    const auto tokens = encode(*engine_, prompt).tokens;
    Turn turn(turns_, Urgency::background, stop);
    if (!turn.held()) return;
    const Use use(*this, name);
    Named& place = *use;
    const std::size_t reused = place.session.adopt(tokens);
    if (turns_) fill_cache(place, tokens, reused, turn, stop);
    if (turn.held() && !stop.stop_requested()) place.session.sync(tokens, depth, stop);
    place.prefetched += computed_since(reused, place, tokens);
  };
  return port;
}

inference::GenerateResult Sessions::generate(const GenerateRequest& request, std::stop_token stop) {
  const inference::FimPrompt fim{"", {}, request.prompt, request.suffix ? std::string_view(*request.suffix) : ""};
  const auto encoded = request.suffix ? engine_->encode_fim(fim) : engine_->encode_text(request.prompt);
  inference::GenerateParams params = request.params;
  params.depth = std::clamp(params.depth, 1, engine_->info().max_depth);
  return generate_in("loopd/generate", encoded, params, std::move(stop));
}

}  // namespace lsp
