// Guessing by copying, the gate over it, and the promise that neither changes what is generated.
#include "inference/drafts.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "inference/engine.h"
#include "tests/inference/tiny_model.h"

using namespace inference;

namespace {

std::vector<TokenId> guess(const Drafts& drafts, const std::vector<TokenId>& tokens, std::size_t most) { return drafts.guess(tokens, most).tokens; }

}  // namespace

TEST_CASE("the longest match is copied, the newest among equals, the timeline before other texts") {
  Drafts drafts;
  CHECK(guess(drafts, {}, 4).empty());
  CHECK(guess(drafts, {1, 2, 3}, 4).empty());
  CHECK(guess(drafts, {1, 2, 3, 1}, 4) == std::vector<TokenId>{2, 3, 1});
  CHECK(guess(drafts, {1, 2, 3, 1, 2, 4, 1}, 2) == std::vector<TokenId>{2, 4});
  // Two tokens of context beat one, however old.
  CHECK(guess(drafts, {7, 1, 5, 8, 1, 6, 7, 1}, 1) == std::vector<TokenId>{5});
  CHECK(drafts.guess(std::vector<TokenId>{7, 1, 5, 8, 1, 6, 7, 1}, 1).matched == 2);
  drafts.add(std::vector<TokenId>{7, 8, 9, 10});
  CHECK(guess(drafts, {3, 8, 4, 7, 8}, 4) == std::vector<TokenId>{9, 10});
  CHECK(guess(drafts, {3, 8, 4, 8}, 1) == std::vector<TokenId>{4});
  // Texts do not run into each other.
  drafts.add(std::vector<TokenId>{11, 12});
  CHECK(guess(drafts, {9, 10}, 4).empty());
  CHECK(guess(drafts, {10, 11}, 4) == std::vector<TokenId>{12});
}

TEST_CASE("what is kept to copy from is bounded, and the newest of it stays") {
  Drafts drafts;
  for (int text = 0; text < 40; ++text) {
    std::vector<TokenId> tokens(1000);
    for (std::size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<TokenId>(text * 1000) + static_cast<TokenId>(i);
    drafts.add(tokens);
  }
  CHECK(guess(drafts, {39500}, 2) == std::vector<TokenId>{39501, 39502});
  CHECK(guess(drafts, {500}, 2).empty());
}

TEST_CASE("the gate drafts more the longer the match, stops where guesses fail, and opens again where they come true") {
  DraftGate gate;
  CHECK(gate.worth(20, 16) >= 3);
  CHECK(gate.worth(20, 2) == 2);
  CHECK(gate.worth(0, 0) == 0);
  for (int i = 0; i < 60; ++i) gate.learn(20, false);
  CHECK(gate.worth(20, 16) == 0);
  for (int i = 0; i < 60; ++i) gate.learn(20, true);
  CHECK(gate.worth(20, 16) > 3);
  // Where another row costs as much as another run there is nothing to win, even if every guess is right.
  for (int i = 0; i < 60; ++i) {
    for (std::size_t rows = 1; rows <= DraftGate::kMost + 1; ++rows) gate.took(1, rows, static_cast<double>(rows));
  }
  CHECK(gate.relative_cost(4) == doctest::Approx(4).epsilon(0.02));
  CHECK(gate.worth(20, 16) == 0);
}

TEST_CASE("the gate compares a run with one of the same depth, and is not led astray by single slow runs") {
  DraftGate gate;
  for (int i = 0; i < 100; ++i) {
    for (const int depth : {1, 3}) {
      const double one = 1.5 * depth;
      gate.took(depth, 1, i % 10 == 7 ? 40 * one : one);
      gate.took(depth, 4, i % 10 == 3 ? 40 * one : 2 * one);
    }
  }
  CHECK(gate.relative_cost(4) == doctest::Approx(2).epsilon(0.1));
  // The very first run was ten times too slow.
  DraftGate cold;
  cold.took(1, 1, 15);
  for (int i = 0; i < 20; ++i) cold.took(1, 1, 1.5), cold.took(1, 4, 3);
  CHECK(cold.relative_cost(4) > 1.4);
}

TEST_CASE("text that continues behind a mark is matched with what stands in front of it") {
  const FimMarks marks{100, 101, 102};
  using Ids = std::vector<TokenId>;
  CHECK(as_read(Ids{1, 2, 3}, marks) == Ids{1, 2, 3});
  CHECK(as_read(Ids{}, marks).empty());
  CHECK(as_read(Ids{1, 102, 2}, {}) == Ids{1, 102, 2});
  // The suffix first.
  CHECK(as_read(Ids{9, 101, 7, 8, 100, 1, 2, 102, 3}, marks) == Ids{9, 101, 7, 8, 100, 1, 2, 3});
  // The prefix first: the suffix makes way.
  CHECK(as_read(Ids{9, 100, 1, 2, 101, 7, 8, 102, 3}, marks) == Ids{9, 101, 7, 8, 100, 1, 2, 3});
  // Parts of timelines.
  CHECK(as_read(Ids{2, 102, 3, 4}, marks) == Ids{2, 3, 4});
  CHECK(as_read(Ids{8, 102, 3}, marks) == Ids{8, 3});
  CHECK(as_read(Ids{102}, marks).empty());
  Drafts drafts;
  const auto text = as_read(Ids{101, 7, 100, 1, 2, 3, 4, 5, 6, 1, 2, 3, 102, 4}, marks);
  const auto next = drafts.guess(text, 2);
  CHECK(next.matched == 4);
  CHECK(next.tokens == Ids{5, 6});
}

TEST_CASE("where answers end with the line a guess is followed to the line's end, and further where they go on") {
  DraftGate gate;
  for (int i = 0; i < 60; ++i) gate.learn(20, true), gate.learn(20, false, true);
  CHECK(gate.worth(20, 16, 3) == 3);
  CHECK(gate.worth(20, 16, 0) == 0);
  CHECK(gate.worth(20, 16) == DraftGate::kMost);
  for (int i = 0; i < 60; ++i) gate.learn(20, true, true);
  CHECK(gate.worth(20, 16, 3) > 3);
}

TEST_CASE("loop 1 drafts for deeper loops as long as they agree") {
  DraftGate gate;
  CHECK(gate.worth_shallow(1, 8) == 0);
  CHECK(gate.worth_shallow(4, 8) > 0);
  for (int i = 0; i < 60; ++i) gate.learn_shallow(false);
  CHECK(gate.worth_shallow(4, 8) == 0);
  for (int i = 0; i < 2000; ++i) gate.skipped_shallow();
  CHECK(gate.worth_shallow(4, 8) > 0);
}

TEST_CASE("drafts never change what is generated, under any limit, at any depth, greedy or sampled") {
  std::size_t drafted = 0, accepted = 0, shallow = 0, wrong = 0;
  for (const unsigned seed : {1u, 2u}) {
    const tiny::Model model(seed + 40);
    for (const bool reference : {false, true}) {
      if (reference && seed > 1) continue;
      EngineOptions options;
      options.model_dir = model.dir();
      options.device = "cpu";
      options.threads = 2;
      options.reference = reference;
      const auto engine = Engine::load(options);
      Session drafting(engine);
      for (const std::string text : {"return self.a\nreturn self.b\nreturn self.", "if x:\n  y = 1\nif x:\n  y", "a", "ururururur", "self.a self.a re"}) {
        for (const int depth : {1, 2, 3}) {
          for (int variant = 0; variant < 7; ++variant) {
            const auto prompt = engine->encode_text(text);
            GenerateParams params;
            params.depth = depth;
            params.max_tokens = variant == 1 ? 5 : 40;
            params.forced = prompt.forced;
            if (variant == 2) params.forced += "return";
            if (variant == 3) params.temperature = 0.7f, params.seed = 5;
            if (variant == 4) params.stop_rule = [](std::string_view so_far) { return so_far.size() > 17; };
            params.speculate = false;
            Session plain(engine);
            if (variant == 5) {
              const auto first = plain.generate(prompt.tokens, params).tokens;
              if (!first.empty()) params.banned_first = {first[0]};
            }
            const auto want = plain.generate(prompt.tokens, params);
            CHECK(want.timings.drafted_tokens == 0);
            params.speculate = true;
            // Something that is nearly what will come.
            if (variant == 6 && want.tokens.size() > 12) {
              auto past = prompt.tokens;
              past.insert(past.end(), want.tokens.begin(), want.tokens.begin() + 9);
              past.push_back(want.tokens[0]);
              drafting.adopt(past);
            }
            // Twice: the second time the session remembers the first answer.
            for (int time = 0; time < 2; ++time) {
              const auto got = drafting.generate(prompt.tokens, params);
              CAPTURE(text);
              CAPTURE(depth);
              CAPTURE(variant);
              CHECK(got.tokens == want.tokens);
              CHECK(got.text == want.text);
              CHECK(got.finish == want.finish);
              CHECK(got.logprobs == want.logprobs);
              drafted += got.timings.drafted_tokens;
              accepted += got.timings.accepted_tokens;
              CHECK(got.timings.accepted_tokens <= got.timings.drafted_tokens);
              REQUIRE(got.drafted.size() == got.tokens.size());
              REQUIRE(got.accepted.size() == got.tokens.size());
              CHECK(std::accumulate(got.drafted.begin(), got.drafted.end(), std::size_t{0}) == got.timings.drafted_tokens);
              CHECK(std::accumulate(got.accepted.begin(), got.accepted.end(), std::size_t{0}) == got.timings.accepted_tokens);
              for (std::size_t i = 0; i < got.tokens.size(); ++i) CHECK(got.accepted[i] <= got.drafted[i]);
              wrong += got.timings.drafted_tokens - got.timings.accepted_tokens;
              if (time == 0 && depth > 1) shallow += got.timings.accepted_tokens;
            }
            // What drafts left behind in the caches is what a fresh session computes.
            CHECK(drafting.logits(prompt.tokens, depth) == Session(engine).logits(prompt.tokens, depth));
          }
        }
      }
    }
  }
  // The test would be empty without guesses that are right and guesses that are wrong.
  CHECK(accepted > 1000);
  CHECK(wrong > 100);
  CHECK(shallow > 0);
  MESSAGE(drafted << " drafted, " << accepted << " accepted");
}

// The rule itself, step by step with nothing kept: the first loop that is sure enough picks the token.
std::vector<TokenId> picked_by_rule(const std::shared_ptr<const Engine>& engine, std::vector<TokenId> tokens, int depth, float sure, int count) {
  std::vector<TokenId> picked;
  const auto defined = static_cast<std::ptrdiff_t>(engine->tokenizer().size());  // what follows pads the vocabulary
  for (int i = 0; i < count; ++i) {
    std::vector<float> logits;
    for (int r = i == 0 ? depth : 1; r <= depth; ++r) {
      logits = Session(engine).logits(tokens, r);
      const float best = *std::max_element(logits.begin(), logits.begin() + defined);
      double sum = 0;
      for (const float value : logits) sum += std::exp(static_cast<double>(value - best));
      if (1 / sum >= static_cast<double>(sure)) break;
    }
    picked.push_back(static_cast<TokenId>(std::max_element(logits.begin(), logits.begin() + defined) - logits.begin()));
    tokens.push_back(picked.back());
  }
  return picked;
}

TEST_CASE("adaptive depth takes a token from the first loop that is sure enough, and from no other") {
  const tiny::Model model(42);
  EngineOptions options;
  options.model_dir = model.dir();
  options.device = "cpu";
  options.threads = 1;
  const auto engine = Engine::load(options);
  const auto tokens = engine->tokenizer().encode("return self.a\nreturn self.b\nreturn self.", false);
  std::size_t early = 0, late = 0;
  for (const float sure : {0.004f, 0.02f, 0.05f, 0.2f, 1.0f}) {
    CAPTURE(sure);
    GenerateParams params;
    params.depth = 3;
    params.max_tokens = 20;
    params.adaptive = sure;
    const auto got = Session(engine).generate(tokens, params);
    CHECK(got.tokens == picked_by_rule(engine, tokens, 3, sure, static_cast<int>(got.tokens.size())));
    CHECK(got.timings.drafted_tokens == 0);
    early += got.timings.early_tokens;
    late += got.tokens.size() - got.timings.early_tokens;
    if (sure == 1.0f) {
      params.adaptive = 0;
      CHECK(got.tokens == Session(engine).generate(tokens, params).tokens);
    }
  }
  CHECK(early > 10);
  CHECK(late > 10);
  MESSAGE(early << " tokens of earlier loops, " << late << " of the last");
}

TEST_CASE("guesses that reach over the end of short answers become rare") {
  const tiny::Model model(41);
  EngineOptions options;
  options.model_dir = model.dir();
  options.device = "cpu";
  options.threads = 1;
  const auto engine = Engine::load(options);
  Session session(engine);
  const std::string line = "abcdefghijklmnopqrstuvwxyz\n";
  const auto tokens = engine->tokenizer().encode(line + line + line + "abcdefghijklmno", false);
  GenerateParams params;
  params.depth = 1;
  params.forced = "pq";
  params.stop_rule = [](std::string_view) { return true; };
  std::vector<std::size_t> drafted;
  for (int time = 0; time < 60; ++time) drafted.push_back(session.generate(tokens, params).timings.drafted_tokens);
  CHECK(drafted.front() > 0);
  CHECK(drafted.back() == 0);
}

TEST_CASE("a stop request and a deadline end a drafting generation, and the session goes on as if nothing had been guessed") {
  const tiny::Model model(43);
  EngineOptions options;
  options.model_dir = model.dir();
  options.device = "cpu";
  const auto engine = Engine::load(options);
  const auto prompt = engine->encode_text("ururururururur");
  GenerateParams params;
  params.max_tokens = 40;
  params.depth = 2;
  Session session(engine);
  const auto whole = session.generate(prompt.tokens, params);
  REQUIRE(whole.tokens.size() > 6);
  for (std::size_t after = 1; after < 6; ++after) {
    std::stop_source source;
    std::size_t seen = 0;
    params.stop_rule = [&](std::string_view) {
      if (++seen == after) source.request_stop();
      return false;
    };
    const auto cut = session.generate(prompt.tokens, params, source.get_token());
    CHECK(cut.finish == FinishReason::cancelled);
    CHECK(cut.tokens.size() == after);
    CHECK(std::equal(cut.tokens.begin(), cut.tokens.end(), whole.tokens.begin()));
  }
  params.stop_rule = nullptr;
  params.deadline = std::chrono::steady_clock::now();
  CHECK(session.generate(prompt.tokens, params).finish == FinishReason::deadline);
  params.deadline.reset();
  CHECK(session.generate(prompt.tokens, params).tokens == whole.tokens);
}
