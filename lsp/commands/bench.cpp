// `loopd bench decode|prefill`: how long a token takes, beside the memory floor measured in the same run.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "lsp/commands/commands.h"
#include "lsp/commands/open_model.h"
#include "lsp/json_rpc.h"

namespace lsp {
namespace {

using Clock = std::chrono::steady_clock;

double ms_since(Clock::time_point start) { return std::chrono::duration<double, std::milli>(Clock::now() - start).count(); }

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// Bytes a second that one thread copies between two buffers no cache holds, read and written bytes both counted.
double copy_bandwidth_gbs() {
  constexpr std::size_t size = std::size_t{256} << 20;
  const auto from = std::make_unique<char[]>(size);
  const auto to = std::make_unique<char[]>(size);
  std::memset(from.get(), 1, size);
  std::vector<double> times;
  for (int i = 0; i < 7; ++i) {
    const auto start = Clock::now();
    std::memcpy(to.get(), from.get(), size);
    times.push_back(ms_since(start));
  }
  return 2.0 * static_cast<double>(size) / median(times) / 1e6;
}

// Token ids that look like no text: what they are does not change what they cost.
std::vector<inference::TokenId> some_tokens(const inference::Engine& engine, std::size_t count) {
  const std::size_t vocabulary = engine.info().vocabulary;
  std::vector<inference::TokenId> tokens;
  for (std::size_t i = 0; i < count; ++i) tokens.push_back(static_cast<inference::TokenId>(300 % vocabulary + i * 7919 % (vocabulary - 300 % vocabulary)));
  return tokens;
}

// Milliseconds a token: as the clock on the wall has it, and of all threads' processor time, which others' work disturbs less.
struct TokenTime {
  double ms, cpu_ms;
};

double cpu_ms() { return 1e3 * static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

// One more token behind `context` others, logits included.
TokenTime decode_time(const std::shared_ptr<const inference::Engine>& engine, int depth, std::size_t context) {
  inference::Session session(engine);
  auto tokens = some_tokens(*engine, context);
  session.sync(tokens, depth);
  std::vector<double> times;
  const double cpu_start = cpu_ms();
  for (int i = 0; i < 64; ++i) {
    tokens.push_back(tokens[static_cast<std::size_t>(i) % context]);
    const auto start = Clock::now();
    session.logits(tokens, depth);
    times.push_back(ms_since(start));
  }
  return {median(times), (cpu_ms() - cpu_start) / static_cast<double>(times.size())};
}

// From nothing to the last token's states.
TokenTime prefill_time(const std::shared_ptr<const inference::Engine>& engine, int depth, std::size_t context) {
  const auto tokens = some_tokens(*engine, context);
  std::vector<double> times;
  const double cpu_start = cpu_ms();
  for (int i = 0; i < 3; ++i) {
    inference::Session session(engine);
    const auto start = Clock::now();
    session.sync(tokens, depth);
    times.push_back(ms_since(start));
  }
  const auto count = static_cast<double>(context);
  return {median(times) / count, (cpu_ms() - cpu_start) / count / static_cast<double>(times.size())};
}

}  // namespace

int bench(const Options& options, const Settings& settings) {
  if (options.arguments[0] == "keystrokes") return bench_keystrokes(options, settings);
  if (!options.synthetic.empty() || options.device == "cuda") return bench_gpu(options, settings);
  if (options.speculation) return bench_speculation(options, settings);
  inference::EngineOptions wanted = engine_options(options, settings);
  wanted.need_tokenizer = false;
  wanted.prefix_cache_mb = 0;  // every round computes its prompt
  const auto engine = inference::Engine::load(wanted);
  const inference::EngineInfo& info = engine->info();
  const bool decode = options.arguments[0] == "decode";
  std::vector<int> depths = options.depths;
  for (int depth = 1; options.depths.empty() && depth <= std::min(3, info.max_depth); ++depth) depths.push_back(depth);
  const double copy = copy_bandwidth_gbs();

  Json rows = Json::array();
  if (!options.json) {
    std::printf("%s, %s, %d threads; %.1f MB of weights a loop; one thread copies %.1f GB/s\n", info.model_dir.c_str(),
                info.kernels.c_str(), info.threads, static_cast<double>(info.bytes_per_loop) / 1e6, copy);
    std::puts(decode ? "depth  context  ms/token    GB/s" : "depth  context  tokens/s");
  }
  for (const int depth : depths) {
    for (const std::size_t context : {std::size_t{8}, std::size_t{512}, std::size_t{1500}}) {
      if (context + 64 > info.context || (!decode && context < 64)) continue;
      Json row = {{"bench", options.arguments[0]}, {"shape", info.model_dir}, {"depth", depth}, {"batch", 1}, {"context", context},
                  {"copy_bandwidth_gbs", copy}, {"device", info.device}, {"kernels", info.kernels}, {"threads", info.threads}};
      if (decode) {
        const auto [ms, cpu] = decode_time(engine, depth, context);
        // Every loop reads the layers once; the output head is read once a token.
        const double bytes = static_cast<double>(info.bytes_per_loop) * depth + static_cast<double>(info.head_bytes) +
                             static_cast<double>(info.kv_bytes_per_token * context) * depth;
        const double gbs = bytes / ms / 1e6;
        row["ms_per_token"] = ms;
        row["cpu_ms_per_token"] = cpu;
        row["bandwidth_gbs"] = gbs;
        row["bandwidth_pct"] = 100 * gbs / copy;
        if (!options.json) std::printf("%5d  %7zu  %8.2f  %6.1f\n", depth, context, ms, gbs);
      } else {
        const auto [ms, cpu] = prefill_time(engine, depth, context);
        row["tokens_per_s"] = 1e3 / ms;
        row["cpu_ms_per_token"] = cpu;
        if (!options.json) std::printf("%5d  %7zu  %8.0f\n", depth, context, row["tokens_per_s"].get<double>());
      }
      rows.push_back(std::move(row));
      std::fflush(stdout);
    }
  }
  if (options.json) std::puts(to_text(rows).c_str());
  return 0;
}

}  // namespace lsp
