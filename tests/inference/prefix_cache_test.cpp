// Pages shared by content: the same logits whoever computed them, within the budget, whatever is evicted.
#include "inference/prefix_cache.h"

#include <doctest/doctest.h>

#include <thread>

#include "inference/cpu_device.h"
#include "tests/inference/golden.h"

using namespace inference;

namespace {

std::vector<TokenId> some_tokens(std::size_t count, int salt) {
  std::vector<TokenId> tokens;
  for (std::size_t i = 0; i < count; ++i) tokens.push_back(static_cast<TokenId>((i * 37 + i * i % 11 + static_cast<std::size_t>(salt) * 7) % 97));
  return tokens;
}

std::vector<float> logits(Lane& lane, const std::vector<TokenId>& tokens, int depth) {
  lane.replace(tokens);
  REQUIRE(lane.run(depth, tokens.size() - 1, {}, {}));
  return lane.logits(depth, tokens.size() - 1, 1);
}

}  // namespace

TEST_CASE("a lane takes over what another has computed for the same beginning, at every depth") {
  for (const bool reference : {true, false}) {
    auto model = load_model(golden::dir("loopd_tiny"), false);
    CpuDevice device(*model, reference, 2, std::size_t{64} << 20);
    auto alone_model = load_model(golden::dir("loopd_tiny"), false);
    CpuDevice alone(*alone_model, reference, 2, 0);
    const auto tokens = some_tokens(300, 1);
    const auto first = device.open_lane();
    logits(*first, tokens, 1);
    for (const int depth : {1, 2, 3, 6}) {
      for (const std::size_t keep : {std::size_t{300}, std::size_t{200}, std::size_t{128}, std::size_t{63}}) {
        auto edited = tokens;
        edited.resize(keep);
        const auto tail = some_tokens(40, static_cast<int>(keep));
        edited.insert(edited.end(), tail.begin(), tail.end());
        const auto lane = device.open_lane(), fresh = alone.open_lane();
        CAPTURE(depth);
        CAPTURE(keep);
        CHECK(lane->replace(edited) >= keep / kKvPage * kKvPage);
        CHECK(fresh->replace(edited) == 0);
        CHECK(logits(*lane, edited, depth) == logits(*fresh, edited, depth));
      }
    }
    // Whoever goes back into a shared page and writes on does not change what others read.
    auto other = tokens;
    other.resize(100);
    other.push_back(5);
    logits(*first, other, 3);
    const auto lane = device.open_lane(), fresh = alone.open_lane();
    CHECK(lane->replace(tokens) == 256);
    CHECK(logits(*lane, tokens, 3) == logits(*fresh, tokens, 3));
  }
}

TEST_CASE("the budget holds, what was used last stays, and what was evicted is computed again") {
  auto model = load_model(golden::dir("loopd_tiny"), false);
  const std::size_t page = Timeline(model->config, KvType::f16).page_bytes();
  CpuDevice device(*model, false, 1, 5 * page);
  const auto lane = device.open_lane();
  for (int text = 0; text < 6; ++text) {
    logits(*lane, some_tokens(130, text), 1);
    CHECK(device.prefixes().bytes <= 5 * page);
    CHECK(device.prefixes().pages <= 5);
  }
  CHECK(device.prefixes().evicted == 7);
  const auto other = device.open_lane();
  CHECK(other->replace(some_tokens(130, 5)) == 128);
  CHECK(other->replace(some_tokens(130, 4)) == 128);
  CHECK(other->replace(some_tokens(130, 3)) == 64);  // its second page went first
  CHECK(other->replace(some_tokens(130, 0)) == 0);
  // 3 was looked up after 5 and 4, so 5 is what has to go for two new pages.
  logits(*lane, some_tokens(130, 9), 1);
  CHECK(device.open_lane()->replace(some_tokens(130, 3)) == 64);
  CHECK(device.open_lane()->replace(some_tokens(130, 4)) == 128);
  CHECK(device.open_lane()->replace(some_tokens(130, 5)) == 0);
}

TEST_CASE("lanes on several threads share pages while some are evicted, and every logit is right") {
  auto model = load_model(golden::dir("loopd_tiny"), false);
  CpuDevice device(*model, false, 1, 6 * Timeline(model->config, KvType::f16).page_bytes());
  auto alone_model = load_model(golden::dir("loopd_tiny"), false);
  CpuDevice alone(*alone_model, false, 1, 0);
  std::vector<std::vector<float>> want;
  for (int text = 0; text < 4; ++text) want.push_back(logits(*alone.open_lane(), some_tokens(200, text), 2));
  std::vector<int> wrong(3, 0);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < wrong.size(); ++t) {
    threads.emplace_back([&, t] {
      const auto lane = device.open_lane();
      for (int round = 0; round < 12; ++round) {
        const int text = (round + static_cast<int>(t)) % 4;
        const auto tokens = some_tokens(200, text);
        lane->replace(tokens);
        lane->run(2, tokens.size() - 1, {}, {});
        if (lane->logits(2, tokens.size() - 1, 1) != want[static_cast<std::size_t>(text)]) ++wrong[t];
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == std::vector<int>(3, 0));
}
