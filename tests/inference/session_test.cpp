// Generation: greedy equals the plain argmax chain whatever is cached, typed bytes are kept to, and every limit holds.
#include <doctest/doctest.h>

#include <algorithm>
#include <fstream>
#include <stdexcept>

#include "inference/engine.h"
#include "tests/inference/tiny_model.h"

using namespace inference;

namespace {

std::shared_ptr<const Engine> load(const tiny::Model& model) {
  EngineOptions options;
  options.model_dir = model.dir();
  options.device = "cpu";
  options.threads = 2;
  return Engine::load(options);
}

// What greedy decoding means, spelled out with fresh sessions only.
std::vector<TokenId> argmax_chain(const std::shared_ptr<const Engine>& engine, std::vector<TokenId> tokens, int depth, std::size_t count) {
  std::vector<TokenId> chain;
  const auto stops = engine->stop_tokens();
  while (chain.size() < count) {
    std::vector<float> logits = Session(engine).logits(tokens, depth);
    logits.resize(engine->tokenizer().size());
    const auto best = static_cast<TokenId>(std::max_element(logits.begin(), logits.end()) - logits.begin());
    if (std::find(stops.begin(), stops.end(), best) != stops.end()) break;
    chain.push_back(best);
    tokens.push_back(best);
  }
  return chain;
}

}  // namespace

TEST_CASE("greedy text is the argmax chain at every depth, in a fresh session and in a used one") {
  const tiny::Model model;
  const auto engine = load(model);
  CHECK(engine->fim_layout() == FimLayout::suffix_prefix_joined);
  Session used(engine);
  for (const std::string text : {"return self.a", "if x:\n  y", "return self.b"}) {
    for (const int depth : {1, 2, 3}) {
      const auto prompt = engine->encode_text(text);
      GenerateParams params;
      params.depth = depth;
      params.max_tokens = 12;
      const auto want = argmax_chain(engine, prompt.tokens, depth, 12);
      const auto got = used.generate(prompt.tokens, params);
      CHECK(got.tokens == want);
      CHECK(got.text == engine->tokenizer().decode(want));
      CHECK(got.logprobs.size() == want.size());
      CHECK(used.generate(prompt.tokens, params).tokens == want);
    }
  }
}

TEST_CASE("a prompt that grows by a key computes only the new tokens") {
  const tiny::Model model;
  const auto engine = load(model);
  Session session(engine);
  GenerateParams params;
  params.depth = 2;
  params.max_tokens = 2;
  auto tokens = engine->encode_text("def f(x):\n  return x").tokens;
  session.generate(tokens, params);
  tokens.push_back(engine->encode_text("y").tokens[0]);
  const auto result = session.generate(tokens, params);
  CHECK(result.timings.prompt_tokens == tokens.size());
  CHECK(result.timings.computed_tokens <= 1);
}

TEST_CASE("a layout that marks the caret keeps the whole prefix, whatever it ends with") {
  const tiny::Model model;
  std::ifstream in(model.dir() + "/config.json");
  nlohmann::json config = nlohmann::json::parse(in);
  config["fim_layout"] = "suffix_prefix_middle";
  std::ofstream(model.dir() + "/config.json") << config;
  const auto engine = load(model);
  CHECK(engine->fim_layout() == FimLayout::suffix_prefix_middle);
  const auto spelled = [&](std::string_view prefix) {
    FimPrompt prompt;
    prompt.path = "a.py";
    prompt.prefix = prefix;
    prompt.suffix = "\nz = 2\n";
    const auto encoded = engine->encode_fim(prompt);
    return engine->tokenizer().decode(encoded.tokens) + "|" + encoded.forced;
  };
  const std::string opening = "<|file_sep|>a.py\n<|fim_suffix|>\nz = 2\n<|fim_prefix|>";
  CHECK(spelled("x = 1\n  ret") == opening + "x = 1\n  ret<|fim_middle|>|");
  CHECK(spelled("x = 1\n") == opening + "x = 1\n<|fim_middle|>|");

  config["fim_layout"] = "middle_first";
  std::ofstream(model.dir() + "/config.json") << config;
  CHECK_THROWS_WITH_AS(load(model), doctest::Contains("middle_first"), std::runtime_error);
}

TEST_CASE("the text begins with the typed bytes at every cut") {
  const tiny::Model model;
  const auto engine = load(model);
  const std::string line = "  return self.a(\"\xF0\x9F\x98\x80\", 12) + ";
  Session session(engine);
  for (std::size_t cut = 0; cut <= line.size(); ++cut) {
    FimPrompt prompt;
    prompt.path = "a.py";
    const std::string prefix = "x = 1\n" + line.substr(0, cut);
    prompt.prefix = prefix;
    prompt.suffix = "\nz = 2\n";
    const auto encoded = engine->encode_fim(prompt);
    // Nothing typed is lost between the tokens of the prompt and the bytes still to be spelled.
    const std::string kept = engine->tokenizer().decode(encoded.tokens) + encoded.forced;
    CHECK(kept.ends_with("<|fim_prefix|>" + prefix));
    GenerateParams params;
    params.forced = encoded.forced;
    params.max_tokens = 8;
    const auto result = session.generate(encoded.tokens, params);
    const std::string spelled = engine->tokenizer().decode(result.tokens);
    CAPTURE(cut);
    const std::size_t shared = std::min(spelled.size(), encoded.forced.size());
    CHECK(spelled.substr(0, shared) == encoded.forced.substr(0, shared));
    if (spelled.size() > encoded.forced.size()) CHECK(result.text == spelled.substr(encoded.forced.size()));
  }
}

TEST_CASE("special tokens written in a buffer are plain text") {
  const tiny::Model model;
  const auto engine = load(model);
  FimPrompt prompt;
  prompt.path = "a.py";
  prompt.prefix = "x = '<|fim_end|><|endoftext|>'\n";
  prompt.suffix = "<|fim_prefix|>";
  const auto tokens = engine->encode_fim(prompt).tokens;
  CHECK(std::count(tokens.begin(), tokens.end(), 0) == 0);
  CHECK(std::count(tokens.begin(), tokens.end(), 4) == 0);
  CHECK(std::count(tokens.begin(), tokens.end(), 1) == 1);
}

TEST_CASE("limits: tokens, rule, deadline, stop request, context, banned first token") {
  const tiny::Model model(3);
  const auto engine = load(model);
  Session session(engine);
  const auto tokens = engine->encode_text("return self").tokens;
  GenerateParams params;
  params.max_tokens = 3;
  const auto plain = session.generate(tokens, params);
  REQUIRE(plain.finish == FinishReason::max_tokens);
  CHECK(plain.tokens.size() == 3);

  params.stop_rule = [](std::string_view text) { return !text.empty(); };
  const auto ruled = session.generate(tokens, params);
  CHECK(ruled.finish == FinishReason::stop_rule);
  CHECK(ruled.tokens.size() == 1);
  params.stop_rule = nullptr;

  params.deadline = std::chrono::steady_clock::now();
  CHECK(session.generate(tokens, params).finish == FinishReason::deadline);
  // A new prompt does not get past its deadline either, and what it computed by then counts.
  const auto elsewhere = engine->encode_text("x = 1\ny = 2\n").tokens;
  const auto late = session.generate(elsewhere, params);
  CHECK(late.finish == FinishReason::deadline);
  CHECK(late.text.empty());
  params.deadline.reset();

  std::stop_source source;
  source.request_stop();
  const auto cancelled = session.generate(tokens, params, source.get_token());
  CHECK(cancelled.finish == FinishReason::cancelled);
  CHECK(cancelled.text.empty());
  CHECK(session.generate(tokens, params).tokens == plain.tokens);

  params.banned_first = {plain.tokens[0]};
  const auto other = session.generate(tokens, params);
  CHECK((other.tokens.empty() || other.tokens[0] != plain.tokens[0]));

  std::vector<TokenId> full(511, tokens[0]);
  params.banned_first.clear();
  params.max_tokens = 10;
  CHECK(session.generate(full, params).tokens.size() <= 2);
  full.resize(513, tokens[0]);
  CHECK_THROWS_WITH(session.generate(full, params), doctest::Contains("513 tokens exceeds the model's context of 512"));
}

TEST_CASE("a banned token begins no text, also where typed bytes have to be spelled first") {
  const tiny::Model model(3);
  const auto engine = load(model);
  Session session(engine);
  const auto tokens = engine->encode_text("return self").tokens;
  GenerateParams params;
  params.forced = "xy";
  params.max_tokens = 6;
  std::vector<std::string> texts;
  for (int i = 0; i < 3; ++i) {
    const auto result = session.generate(tokens, params);
    REQUIRE_FALSE(result.text.empty());
    // The token that reaches beyond the typed bytes.
    std::string spelled;
    for (const TokenId token : result.tokens) {
      spelled += engine->tokenizer().decode(std::vector<TokenId>{token});
      if (spelled.size() <= params.forced.size()) continue;
      CHECK(std::count(params.banned_first.begin(), params.banned_first.end(), token) == 0);
      params.banned_first.push_back(token);
      break;
    }
    CHECK(params.banned_first.size() == static_cast<std::size_t>(i) + 1);
    texts.push_back(result.text);
  }
  CHECK(texts[0] != texts[1]);
}

TEST_CASE("sampling: a seed gives the same text again, another seed another, and a tiny nucleus is greedy") {
  const tiny::Model model;
  const auto engine = load(model);
  Session session(engine);
  const auto tokens = engine->encode_text("return").tokens;
  GenerateParams params;
  params.max_tokens = 16;
  const auto greedy = session.generate(tokens, params).tokens;
  params.temperature = 2;
  params.seed = 7;
  const auto first = session.generate(tokens, params).tokens;
  CHECK(session.generate(tokens, params).tokens == first);
  params.seed = 8;
  CHECK(session.generate(tokens, params).tokens != first);
  params.top_p = 1e-6f;
  CHECK(session.generate(tokens, params).tokens == greedy);
}
