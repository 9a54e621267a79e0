// The search for a likelier answer finds the likeliest there is, never one that is less likely than the greedy answer.
#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>

#include "inference/engine.h"
#include "inference/ops.h"
#include "tests/inference/tiny_model.h"

using namespace inference;

namespace {

std::shared_ptr<const Engine> load(const tiny::Model& model, bool reference = false) {
  EngineOptions options;
  options.model_dir = model.dir();
  options.device = "cpu";
  options.threads = 2;
  options.reference = reference;
  return Engine::load(options);
}

// An answer is whole when it has four bytes, or the model ends it.
bool long_enough(std::string_view text) { return text.size() >= 4; }

struct Found {
  double total = -1e300;
  std::vector<TokenId> tokens;
};

// The specification: every answer whose tokens are among the three likeliest at their place, each from a fresh session.
void enumerate(const std::shared_ptr<const Engine>& engine, const GenerateParams& params, const std::vector<TokenId>& prompt,
               const std::vector<TokenId>& answer, const std::string& spelled, double total, Found& best) {
  std::vector<TokenId> tokens = prompt;
  tokens.insert(tokens.end(), answer.begin(), answer.end());
  const std::vector<float> logits = Session(engine).logits(tokens, params.depth);
  const auto fits = [&](TokenId id) {
    if (spelled.size() <= params.forced.size() && std::count(params.banned_first.begin(), params.banned_first.end(), id) > 0) return false;
    if (spelled.size() >= params.forced.size()) return true;
    const std::string longer = spelled + std::string(engine->tokenizer().bytes(id));
    const std::size_t shared = std::min(longer.size(), params.forced.size());
    return !engine->tokenizer().is_special(id) && longer.size() > spelled.size() && longer.substr(0, shared) == params.forced.substr(0, shared);
  };
  std::vector<TokenId> ids;
  for (TokenId id = 0; id < static_cast<TokenId>(engine->tokenizer().size()); ++id) {
    if (fits(id)) ids.push_back(id);
  }
  const auto kept = std::min<std::ptrdiff_t>(3, static_cast<std::ptrdiff_t>(ids.size()));
  std::partial_sort(ids.begin(), ids.begin() + kept, ids.end(), [&](TokenId a, TokenId b) { return logits[static_cast<std::size_t>(a)] > logits[static_cast<std::size_t>(b)]; });
  ids.resize(static_cast<std::size_t>(kept));
  const auto stops = engine->stop_tokens();
  for (const TokenId id : ids) {
    const double here = total + static_cast<double>(logits[static_cast<std::size_t>(id)] - log_sum_exp(logits.data(), logits.size()));
    std::vector<TokenId> longer = answer;
    std::string text = spelled;
    const bool ends = std::find(stops.begin(), stops.end(), id) != stops.end();
    if (!ends) longer.push_back(id), text += engine->tokenizer().bytes(id);
    if (ends || (text.size() >= params.forced.size() && long_enough(text.substr(params.forced.size())))) {
      if (here > best.total) best = {here, longer};
    } else {
      enumerate(engine, params, prompt, longer, text, here, best);
    }
  }
}

double total(const GenerateResult& result) { return std::accumulate(result.logprobs.begin(), result.logprobs.end(), 0.0); }

}  // namespace

TEST_CASE("with tokens enough the search finds the likeliest answer of all, at every depth, under typed bytes and a ban") {
  int better = 0;
  for (const unsigned seed : {21u, 22u, 23u}) {
    const tiny::Model model(seed);
    for (const bool reference : {false, true}) {
      const auto engine = load(model, reference);
      Session session(engine);
      for (const std::string text : {"return self.", "if x:\n  y", "a"}) {
        const auto prompt = engine->encode_text(text).tokens;
        for (int variant = 0; variant < 4; ++variant) {
          GenerateParams params;
          params.depth = variant % 3 + 1;
          params.stop_rule = long_enough;
          if (variant == 2) params.forced = "re";
          const auto greedy = session.generate(prompt, params);
          if (variant == 3 && !greedy.tokens.empty()) params.banned_first = {greedy.tokens[0]};
          Found best;
          enumerate(engine, params, prompt, {}, "", 0, best);
          for (const bool speculate : {false, true}) {
            params.speculate = speculate;
            params.search_tokens = 1000;
            const auto found = session.generate(prompt, params);
            CAPTURE(seed);
            CAPTURE(text);
            CAPTURE(variant);
            CHECK(found.tokens == best.tokens);
            CHECK(found.logprobs.size() == found.tokens.size());
            CHECK(std::is_sorted(found.token_ms.begin(), found.token_ms.end()));
            better += found.tokens != greedy.tokens;
          }
          // What was tried leaves nothing wrong behind.
          CHECK(session.logits(prompt, params.depth) == Session(engine).logits(prompt, params.depth));
        }
      }
    }
  }
  CHECK(better > 20);
}

TEST_CASE("a search costs what it may and never ends with less than it began with") {
  const tiny::Model model(24);
  const auto engine = load(model);
  Session session(engine);
  const auto prompt = engine->encode_text("return self.a").tokens;
  GenerateParams params;
  params.depth = 2;
  params.stop_rule = [](std::string_view text) { return text.size() >= 12; };
  const auto greedy = session.generate(prompt, params);
  REQUIRE(greedy.finish == FinishReason::stop_rule);
  CHECK(greedy.timings.searched_tokens == 0);
  double before = total(greedy);
  for (const std::size_t most : {1u, 2u, 5u, 20u, 80u}) {
    params.search_tokens = most;
    const auto found = session.generate(prompt, params);
    CHECK(found.timings.searched_tokens <= most);
    CHECK(total(found) >= before);
    before = total(found);
  }
  CHECK(before > total(greedy));

  // What has come to no end, or is drawn by lot, is left as it is.
  params.stop_rule = nullptr;
  params.max_tokens = 3;
  CHECK(session.generate(prompt, params).timings.searched_tokens == 0);
  params.max_tokens = 64;
  params.temperature = 1;
  params.stop_rule = long_enough;
  CHECK(session.generate(prompt, params).timings.searched_tokens == 0);
}

TEST_CASE("a stop request ends a search") {
  const tiny::Model model(24);
  const auto engine = load(model);
  Session session(engine);
  const auto prompt = engine->encode_text("return self.a").tokens;
  std::stop_source source;
  GenerateParams params;
  params.depth = 2;
  params.search_tokens = 80;
  bool whole = false;
  params.stop_rule = [&](std::string_view text) {
    if (whole) source.request_stop();  // behind the first token that is tried
    const bool end = !whole && text.size() >= 12;
    whole = whole || end;
    return end;
  };
  CHECK(session.generate(prompt, params, source.get_token()).finish == FinishReason::cancelled);
}
