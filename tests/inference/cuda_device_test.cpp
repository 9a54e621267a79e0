// The CUDA device without a GPU: its pages, batches and fallbacks over the plain-loop plug-in, against the CPU.
#include "inference/cuda_device.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <stdexcept>
#include <thread>

#include "tests/inference/golden.h"
#include "tests/inference/tiny_model.h"

using namespace inference;

namespace {

// Sets environment variables for as long as it lives.
class Environment {
 public:
  using Values = std::vector<std::pair<const char*, std::string>>;
  explicit Environment(Values values) : values_(std::move(values)) {
    for (const auto& [name, value] : values_) setenv(name, value.c_str(), 1);
  }
  ~Environment() {
    for (const auto& [name, value] : values_) unsetenv(name);
  }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

 private:
  Values values_;
};

std::shared_ptr<const Engine> load(const std::string& dir, const std::string& device, bool tokenizer = false) {
  const Environment plugin(Environment::Values{{"LOOPD_CUDA_PLUGIN", LOOPD_PLAIN_PLUGIN}});
  EngineOptions options;
  options.model_dir = dir;
  options.device = device;
  options.need_tokenizer = tokenizer;
  options.threads = 1;
  return Engine::load(options);
}

double largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
  REQUIRE(a.size() == b.size());
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double difference = std::fabs(static_cast<double>(a[i]) - b[i]);
    if (!(difference <= largest)) largest = difference;  // a NaN counts as the largest
  }
  return largest;
}

std::vector<TokenId> some_ids(std::size_t count, int factor = 37) {
  std::vector<TokenId> ids;
  for (std::size_t i = 0; i < count; ++i) ids.push_back(static_cast<TokenId>((i * static_cast<std::size_t>(factor) + i * i % 11) % 97));
  return ids;
}

// Keys and values are bfloat16 on a GPU: what differs from the CPU by more than this is no rounding.
constexpr double kRounding = 0.03;
// Between two runs on the same device nothing but the order of sums may differ.
constexpr double kSame = 1e-5;

}  // namespace

TEST_CASE("the CUDA forward gives the logits computed elsewhere, at every depth, in chunks and row by row") {
  for (const bool prefill : {true, false}) {
    Environment::Values values;
    if (!prefill) values.push_back({"LOOPD_PLAIN_NO_PREFILL", "1"});
    const Environment environment(values);
    for (const char* name : {"iquest_tiny", "loopd_tiny", "loopd_gains_tiny"}) {
      const auto expected = golden::load(name);
      const auto engine = load(golden::dir(name), "cuda");
      CHECK(engine->info().device == "cuda");
      for (const int depth : {1, 2, 3, 6}) {
        CAPTURE(name);
        CAPTURE(depth);
        CAPTURE(prefill);
        Session session(engine);
        const auto logits = session.logits(expected.ids, depth, true);
        const std::vector<float>& want = expected.logits.at(depth);
        const std::size_t vocab = want.size() / expected.rows.size();
        std::vector<float> kept;
        for (const std::size_t row : expected.rows) kept.insert(kept.end(), logits.begin() + static_cast<std::ptrdiff_t>(row * vocab), logits.begin() + static_cast<std::ptrdiff_t>((row + 1) * vocab));
        CHECK(largest_difference(kept, want) < kRounding);
      }
    }
  }
}

TEST_CASE("on the device, too, a later loop that runs only on the last tokens gives the same last logits") {
  const auto engine = load(golden::dir("loopd_tiny"), "cuda");
  const auto ids = some_ids(400);
  for (const int depth : {2, 3, 6}) {
    CAPTURE(depth);
    Session full(engine), late(engine);
    auto all = full.logits(ids, depth, true);
    all.erase(all.begin(), all.end() - static_cast<std::ptrdiff_t>(engine->info().vocabulary));
    CHECK(largest_difference(late.logits(ids, depth), all) < kSame);
  }
}

TEST_CASE("on the device, whatever was edited before, logits equal those of a fresh session") {
  const auto engine = load(golden::dir("loopd_tiny"), "cuda");
  auto ids = some_ids(300, 53);
  Session session(engine);
  std::uint64_t random = 99;
  const auto next = [&](std::size_t bound) {
    random = random * 6364136223846793005u + 1442695040888963407u;
    return static_cast<std::size_t>(random >> 33) % bound;
  };
  for (int round = 0; round < 12; ++round) {
    const std::size_t keep = round % 5 == 4 ? next(ids.size()) : ids.size() - std::min(ids.size() - 1, next(90));
    ids.resize(std::max<std::size_t>(1, keep));
    for (std::size_t added = next(120); added > 0 && ids.size() < 420; --added) ids.push_back(static_cast<TokenId>(next(97)));
    const int depth = std::vector<int>{1, 2, 3, 6}[next(4)];
    Session fresh(engine);
    CAPTURE(round);
    CAPTURE(depth);
    CHECK(largest_difference(session.logits(ids, depth), fresh.logits(ids, depth)) < kSame);
  }
}

TEST_CASE("sessions of different depths on threads of their own get what each gets alone") {
  const tiny::Model model;
  const auto engine = load(model.dir(), "cuda", true);
  const auto generate = [&](Session& session, int depth) {
    GenerateParams params;
    params.depth = depth;
    params.max_tokens = 24;
    std::vector<TokenId> tokens;
    for (int i = 0; i < 40 + depth * 30; ++i) tokens.push_back(8 + (i * depth * 31) % 250);
    return session.generate(tokens, params).tokens;
  };
  std::vector<std::vector<TokenId>> alone, together(6);
  for (int i = 0; i < 6; ++i) {
    Session session(engine);
    alone.push_back(generate(session, i % 3 + 1));
  }
  std::vector<std::thread> threads;
  for (int i = 0; i < 6; ++i) {
    threads.emplace_back([&, i] {
      Session session(engine);
      for (int round = 0; round < 3; ++round) together[static_cast<std::size_t>(i)] = generate(session, i % 3 + 1);
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(together == alone);
}

TEST_CASE("the device's own greedy choice is the likeliest token of its logits, under a limit, a mask and a bias") {
  const Environment plugin(Environment::Values{{"LOOPD_CUDA_PLUGIN", LOOPD_PLAIN_PLUGIN}});
  const auto model = load_model(golden::dir("loopd_tiny"), false);
  CudaDevice device(open_cuda_plugin(), *model, {});
  const auto lane = device.open_lane();
  const auto ids = some_ids(70);
  lane->replace(ids);
  const auto logits = lane->logits(2, ids.size() - 1, 1);
  const auto best = [&](std::size_t end) { return static_cast<TokenId>(std::max_element(logits.begin(), logits.begin() + static_cast<std::ptrdiff_t>(end)) - logits.begin()); };
  const TokenId likeliest = best(logits.size());
  CHECK(lane->greedy(2, {logits.size(), {}, {}, 0})->token == likeliest);
  CHECK(lane->greedy(2, {static_cast<std::size_t>(likeliest), {}, {}, 0})->token == best(static_cast<std::size_t>(likeliest)));
  std::vector<std::uint32_t> allowed((logits.size() + 31) / 32, 0);
  allowed[1] = 1u << 5;
  CHECK(lane->greedy(2, {logits.size(), allowed, {}, 0})->token == 37);
  const std::vector<TokenId> biased{11};
  CHECK(lane->greedy(2, {logits.size(), {}, biased, 100})->token == 11);
  CHECK_FALSE(lane->greedy(2, {logits.size(), std::vector<std::uint32_t>(allowed.size(), 0), {}, 0}).has_value());
}

TEST_CASE("a lane that nobody uses gives its pages to one that needs them, and is computed again") {
  const Environment plugin(Environment::Values{{"LOOPD_CUDA_PLUGIN", LOOPD_PLAIN_PLUGIN}});
  const auto model = load_model(golden::dir("loopd_tiny"), false);
  CudaOptions options;
  options.memory = std::size_t{264} << 20;  // beside the reserve, room for one context
  CudaDevice device(open_cuda_plugin(), *model, options);
  const auto ids = some_ids(500);
  std::vector<std::unique_ptr<Lane>> lanes;
  std::vector<float> first;
  const std::size_t many = device.cache_tokens() / ids.size() + 2;
  for (std::size_t i = 0; i < many; ++i) {
    lanes.push_back(device.open_lane());
    lanes.back()->replace(ids);
    const auto logits = lanes.back()->logits(i == 0 ? 3 : 1, ids.size() - 1, 1);
    if (i == 0) first = logits;
  }
  CHECK(lanes.front()->cached() == 0);
  CHECK(lanes.back()->cached() == ids.size());
  CHECK(largest_difference(lanes.front()->logits(3, ids.size() - 1, 1), first) < kSame);
}

TEST_CASE("a stop request ends a run, and what was computed is kept") {
  const auto engine = load(golden::dir("loopd_tiny"), "cuda");
  const auto ids = some_ids(200);
  Session session(engine);
  std::stop_source source;
  source.request_stop();
  CHECK_FALSE(session.sync(ids, 2, source.get_token()));
  CHECK(session.cached_tokens() == 0);
  CHECK(session.sync(ids, 2));
  CHECK(session.cached_tokens() == ids.size());
}

TEST_CASE("what is wrong with a device is one line; asked for, it is an error, else the CPU is used") {
  const std::string dir = golden::dir("loopd_tiny");
  const std::vector<std::tuple<const char*, std::string, const char*>> cases = {
      {"LOOPD_PLAIN_MEMORY_MB", "8", "too little memory on plain loops: 0.2"},
      {"LOOPD_CUDA_MEMORY_MB", "16", "0.02 GB are free"},
  };
  for (const auto& [name, value, text] : cases) {
    const Environment environment(Environment::Values{{name, value}});
    CHECK_THROWS_WITH(load(dir, "cuda"), doctest::Contains(text));
    const auto engine = load(dir, "auto");
    CHECK(engine->info().device == "cpu");
    CHECK(engine->info().device_reason.find(text) != std::string::npos);
  }
  EngineOptions options;
  options.model_dir = dir;
  options.need_tokenizer = false;
  options.device = "cuda";
  const Environment nowhere(Environment::Values{{"LOOPD_CUDA_PLUGIN", "/nowhere/plugin.so"}});
  CHECK_THROWS_WITH(Engine::load(options), doctest::Contains("there is no file /nowhere/plugin.so"));
  options.device = "gpu";
  CHECK_THROWS_WITH(Engine::load(options), doctest::Contains("expected auto, cpu or cuda"));
}

TEST_CASE("a device that is lost costs no request: the CPU goes on") {
  const tiny::Model model;
  const auto cpu = load(model.dir(), "cpu", true);
  const auto prompt = cpu->encode_text("return self.a").tokens;
  GenerateParams params;
  params.depth = 2;
  params.max_tokens = 20;
  const auto want = Session(cpu).generate(prompt, params);
  for (const char* after : {"1", "2", "3", "10", "17"}) {
    const Environment environment(Environment::Values{{"LOOPD_PLAIN_LOST_AFTER", after}});
    const auto engine = load(model.dir(), "cuda", true);
    Session session(engine);
    const auto got = session.generate(prompt, params);
    CAPTURE(after);
    CHECK(got.finish == want.finish);
    CHECK(got.tokens.size() == want.tokens.size());
    // What comes after the loss is the CPU's own.
    CHECK(Session(engine).generate(prompt, params).tokens == want.tokens);
  }
}
