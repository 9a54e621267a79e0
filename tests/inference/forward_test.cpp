// The looped forward pass against logits computed elsewhere, however the tokens are fed in.
#include "inference/forward.h"

#include <doctest/doctest.h>

#include <cmath>

#include "inference/timeline.h"
#include "tests/inference/golden.h"

using namespace inference;

namespace {

// The largest difference to the golden logits, over the rows that it keeps.
double largest_error(const golden::Golden& expected, int depth, const std::vector<float>& logits) {
  const std::vector<float>& want = expected.logits.at(depth);
  const std::size_t vocab = want.size() / expected.rows.size();
  REQUIRE(logits.size() == expected.ids.size() * vocab);
  double largest = 0;
  for (std::size_t i = 0; i < expected.rows.size(); ++i) {
    for (std::size_t v = 0; v < vocab; ++v) {
      largest = std::max(largest, std::fabs(static_cast<double>(logits[expected.rows[i] * vocab + v]) - want[i * vocab + v]));
    }
  }
  return largest;
}

// Logits after every token, fed `step` tokens at a time.
std::vector<float> stepwise(const Engine& engine, const std::vector<TokenId>& ids, int depth, std::size_t step) {
  ThreadPool pool(1);
  Forward forward(engine.model(), reference_ops(), pool);
  Timeline timeline(engine.model().config, KvType::f32);
  std::vector<float> logits;
  for (std::size_t first = 0; first < ids.size(); first += step) {
    const std::size_t end = std::min(first + step, ids.size());
    timeline.replace(std::span(ids).first(end));
    REQUIRE(forward.run(timeline, depth, first, {}));
    const auto rows = forward.logits(timeline, depth, first, end - first);
    logits.insert(logits.end(), rows.begin(), rows.end());
  }
  return logits;
}

}  // namespace

TEST_CASE("logits equal those of NumPy and PyTorch at every depth") {
  for (const char* name : {"iquest_tiny", "loopd_tiny", "loopd_gains_tiny"}) {
    const auto expected = golden::load(name);
    for (const bool reference : {true, false}) {
      const auto engine = golden::engine(golden::dir(name), reference);
      for (const int depth : {1, 2, 3, 6}) {
        CAPTURE(name);
        CAPTURE(reference);
        CAPTURE(depth);
        Session session(engine);
        CHECK(largest_error(expected, depth, session.logits(expected.ids, depth, true)) < (reference ? 1e-4 : 4e-3));  // caches in float16
      }
    }
  }
}

TEST_CASE("prefill, chunks of odd sizes and single tokens give the same logits") {
  for (const char* name : {"iquest_tiny", "loopd_tiny", "loopd_gains_tiny"}) {
    const auto expected = golden::load(name);
    const auto engine = golden::engine(golden::dir(name), true);
    for (const int depth : {1, 2, 3, 6}) {
      for (const std::size_t step : {std::size_t{1}, std::size_t{7}, std::size_t{61}, std::size_t{64}}) {
        CAPTURE(name);
        CAPTURE(depth);
        CAPTURE(step);
        CHECK(largest_error(expected, depth, stepwise(*engine, expected.ids, depth, step)) < 1e-4);
      }
    }
  }
}

TEST_CASE("a window that is off by one changes the logits of loops beyond the first") {
  const auto expected = golden::load("iquest_tiny");
  for (const int window : {63, 65}) {
    auto model = load_model(golden::dir("iquest_tiny"), false);
    model->config.window = window;
    ThreadPool pool(1);
    for (const int depth : {1, 2}) {
      Forward forward(*model, reference_ops(), pool);
      Timeline timeline(model->config, KvType::f32);
      timeline.replace(expected.ids);
      forward.run(timeline, depth, 0, {});
      const double error = largest_error(expected, depth, forward.logits(timeline, depth, 0, expected.ids.size()));
      CAPTURE(window);
      if (depth == 1) CHECK(error < 1e-4);
      if (depth == 2) CHECK(error > 1e-3);
    }
  }
}

TEST_CASE("a later loop that runs only on the last tokens gives the same last logits") {
  // Three layers and a window of 8 reach back 21 positions a loop; with 400 tokens every loop starts late.
  auto model = load_model(golden::dir("loopd_tiny"), false);
  const std::size_t reach = static_cast<std::size_t>(model->config.layers) * 7;
  ThreadPool pool(2);
  std::vector<TokenId> ids;
  for (int i = 0; i < 400; ++i) ids.push_back((i * 37 + i * i % 11) % 97);
  for (const int depth : {2, 3, 6}) {
    Forward forward(*model, reference_ops(), pool);
    Timeline full(model->config, KvType::f32);
    full.replace(ids);
    forward.run(full, depth, 0, {});
    const auto want = forward.logits(full, depth, ids.size() - 1, 1);

    Timeline late(model->config, KvType::f32);
    late.replace(ids);
    forward.run(late, depth, ids.size() - 1, {});
    CHECK(late.span(1).begin == 0);
    CHECK(late.span(depth).begin >= ids.size() - 1 - reach - 2 * kChunk);
    const auto got = forward.logits(late, depth, ids.size() - 1, 1);
    for (std::size_t v = 0; v < want.size(); ++v) REQUIRE(got[v] == doctest::Approx(want[v]).epsilon(1e-5));
  }
}

TEST_CASE("whatever was edited before, logits equal those of a fresh session") {
  const auto engine = golden::engine(golden::dir("loopd_tiny"), true);
  std::vector<TokenId> ids;
  for (int i = 0; i < 300; ++i) ids.push_back((i * 53 + 7) % 97);
  Session session(engine);
  std::uint64_t random = 12345;
  const auto next = [&](std::size_t bound) {
    random = random * 6364136223846793005u + 1442695040888963407u;
    return static_cast<std::size_t>(random >> 33) % bound;
  };
  for (int round = 0; round < 15; ++round) {
    // Backspaces, typing at the end, and now and then a jump: the prefix up to the edit stays.
    const std::size_t keep = round % 5 == 4 ? next(ids.size()) : ids.size() - std::min(ids.size() - 1, next(90));
    ids.resize(std::max<std::size_t>(1, keep));
    for (std::size_t added = next(120); added > 0 && ids.size() < 420; --added) ids.push_back(static_cast<TokenId>(next(97)));
    const int depth = std::vector<int>{1, 2, 3, 6}[next(4)];
    const auto got = session.logits(ids, depth);
    Session fresh(engine);
    const auto want = fresh.logits(ids, depth);
    CAPTURE(round);
    CAPTURE(depth);
    for (std::size_t v = 0; v < want.size(); ++v) REQUIRE(got[v] == doctest::Approx(want[v]).epsilon(1e-4));
  }
}

TEST_CASE("a stop request ends the run at the next chunk, and what was computed is kept") {
  const auto engine = golden::engine(golden::dir("loopd_tiny"), false);
  const auto expected = golden::load("loopd_tiny");
  Session session(engine);
  std::stop_source source;
  source.request_stop();
  CHECK_FALSE(session.sync(expected.ids, 2, source.get_token()));
  CHECK(session.cached_tokens() == 0);
  CHECK(session.sync(expected.ids, 2));
  CHECK(session.cached_tokens() == expected.ids.size());
}
