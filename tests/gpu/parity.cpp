// Compares a model on the GPU with the same model on the CPU: logits, greedy text, late starts, batches and errors.
//
//   gpu_parity [--short] [--only PART]... ROOT     ROOT is the checkout: models/default, tests/golden and source files
//
// Parts: goldens, together, cancel, times, errors, late, fp8, greedy, logits, specification; all of them by default.
// Prints one line a check, `ok NAME: figure` or `FAIL NAME: figure`, and the count; exits with 1 where one failed.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "inference/engine.h"
#include "inference/safetensors.h"

namespace {

using namespace inference;
using Clock = std::chrono::steady_clock;
namespace fs = std::filesystem;

// The near-tie rule: where greedy texts part, the two tokens' logits may differ by at most this on the CPU and on the GPU.
// The fast CPU path rounds activations to 8 bits beside int4 weights, which moves single logits by that much.
constexpr double kNearTie = 1.0;
// Mean squared difference of logits over their variance: to the specification in plain loops, which keeps everything in
// float32 where the GPU keeps keys and values in bfloat16; and to the fast CPU path.
constexpr double kToSpecification = 2e-4;
constexpr double kToFast = 3e-2;
// fp8 keys and values, three bits of mantissa, against bfloat16 ones.
constexpr double kFp8 = 5e-2;
// Two runs on the same device may differ by the order of sums only.
constexpr double kSameDevice = 2e-5;

int passed = 0, failed = 0;
bool brief = false;

void report(bool good, const std::string& name, const std::string& figure) {
  (good ? passed : failed)++;
  std::printf("%s %s: %s\n", good ? "ok" : "FAIL", name.c_str(), figure.c_str());
  std::fflush(stdout);
}

std::string text(const char* format, double a, double b = 0) {
  char buffer[128];
  std::snprintf(buffer, sizeof buffer, format, a, b);
  return buffer;
}

std::shared_ptr<const Engine> load(const std::string& dir, const char* device, bool tokenizer) {
  EngineOptions options;
  options.model_dir = dir;
  options.device = device;
  options.need_tokenizer = tokenizer;
  return Engine::load(options);
}

struct Difference {
  double largest = 0, relative = 0;
};
Difference difference(const std::vector<float>& got, const std::vector<float>& want) {
  if (got.size() != want.size()) return {INFINITY, INFINITY};
  double sum = 0, mean = 0, variance = 0;
  Difference result;
  for (const float value : want) mean += value;
  mean /= static_cast<double>(want.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double d = std::fabs(static_cast<double>(got[i]) - want[i]);
    if (!(d <= result.largest)) result.largest = d;
    sum += d * d;
    variance += (want[i] - mean) * (want[i] - mean);
  }
  result.relative = sum / variance;
  return result;
}

std::string read_file(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

// Logits that NumPy and PyTorch computed for tiny random checkpoints.
void check_goldens(const std::string& root) {
  for (const char* name : {"iquest_tiny", "loopd_tiny", "loopd_gains_tiny"}) {
    const std::string dir = root + "/tests/golden/" + name;
    const auto gpu = load(dir, "cuda", false);
    const auto cpu = load(dir, "cpu", false);
    std::vector<TokenId> ids;
    for (int i = 0; i < 200; ++i) ids.push_back((i * 37 + i * i % 11) % 97);
    for (const int depth : {1, 2, 3, 6}) {
      Session there(gpu), here(cpu);
      const Difference d = difference(there.logits(ids, depth, true), here.logits(ids, depth, true));
      report(d.relative < 1e-3, std::string(name) + " depth " + std::to_string(depth), text("largest %.2g, relative %.2g", d.largest, d.relative));
    }
  }
}

// Source files of this checkout, in a fixed order.
std::vector<std::string> sources(const std::string& root) {
  std::vector<fs::path> paths;
  for (const char* room : {"context", "inference", "lsp", "models", "tests/lsp"}) {
    for (const auto& entry : fs::recursive_directory_iterator(root + "/" + room)) {
      const std::string extension = entry.path().extension().string();
      if (entry.is_regular_file() && entry.file_size() < 100000 && (extension == ".cpp" || extension == ".h" || extension == ".py")) paths.push_back(entry.path());
    }
  }
  std::sort(paths.begin(), paths.end());
  std::vector<std::string> texts;
  for (const fs::path& path : paths) texts.push_back(read_file(path));
  return texts;
}

class Prompts {
 public:
  Prompts(const Engine& engine, const std::string& root) : engine_(engine), texts_(sources(root)) {}

  // Tokens [0, count) of the texts one after the other.
  std::vector<TokenId> plain(std::size_t count) const {
    std::vector<TokenId> tokens;
    for (std::size_t i = 0; tokens.size() < count; ++i) {
      const auto more = engine_.tokenizer().encode(texts_[i % texts_.size()], false);
      tokens.insert(tokens.end(), more.begin(), more.end());
    }
    tokens.resize(count);
    return tokens;
  }
  // A hole in a text, at a seeded place.
  Engine::Encoded hole() {
    const std::string& whole = texts_[next(texts_.size())];
    const std::size_t at = next(whole.size());
    FimPrompt prompt;
    prompt.path = "a.cpp";
    prompt.prefix = std::string_view(whole).substr(at > 700 ? at - 700 : 0, std::min<std::size_t>(at, 700));
    prompt.suffix = std::string_view(whole).substr(at + std::min(whole.size() - at, next(80)), 300);
    return engine_.encode_fim(prompt);
  }

 private:
  std::size_t next(std::size_t bound) {
    random_ = random_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<std::size_t>(random_ >> 33) % std::max<std::size_t>(1, bound);
  }
  const Engine& engine_;
  std::vector<std::string> texts_;
  std::uint64_t random_ = 2026;
};

using Pointer = std::shared_ptr<const Engine>;

// The worst difference of fresh and growing sessions on the GPU to what `want` says of each length.
void compare(const Pointer& gpu, const Prompts& prompts, int depth, const std::vector<std::size_t>& lengths,
             const std::vector<std::vector<float>>& want, double allowed, const std::string& name) {
  Difference worst;
  Session growing(gpu);
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    const auto tokens = prompts.plain(lengths[i]);
    Session fresh(gpu);
    for (Session* there : {&fresh, &growing}) {
      const Difference d = difference(there->logits(tokens, depth), want[i]);
      worst.largest = std::max(worst.largest, std::isnan(d.largest) ? INFINITY : d.largest);
      worst.relative = std::max(worst.relative, std::isnan(d.relative) ? INFINITY : d.relative);
      if (!(d.relative < allowed)) std::printf("     length %zu: largest %.3g, relative %.3g\n", lengths[i], d.largest, d.relative);
    }
  }
  report(worst.relative < allowed, name + " depth " + std::to_string(depth), text("largest %.2g, relative %.2g", worst.largest, worst.relative));
}

const std::vector<int> kDepths = {1, 2, 3, 6};

// To the specification, which takes a quarter of a second a token and loop: short prompts, every length on a thread.
void check_specification(const std::string& model, const Pointer& gpu, const Prompts& prompts) {
  const std::vector<std::size_t> lengths = brief ? std::vector<std::size_t>{3} : std::vector<std::size_t>{1, 9, 17};
  const std::size_t depths = brief ? 2 : kDepths.size();
  std::vector<std::vector<std::vector<float>>> want(depths, std::vector<std::vector<float>>(lengths.size()));
  std::vector<std::thread> threads;
  for (std::size_t d = 0; d < depths; ++d) {
    for (std::size_t i = 0; i < lengths.size(); ++i) {
      threads.emplace_back([&, d, i] {
        EngineOptions options;
        options.model_dir = model;
        options.device = "cpu";
        options.reference = true;
        options.threads = 1;
        Session session(Engine::load(options));
        want[d][i] = session.logits(prompts.plain(lengths[i]), kDepths[d]);
      });
    }
  }
  for (std::thread& thread : threads) thread.join();
  for (std::size_t d = 0; d < depths; ++d) compare(gpu, prompts, kDepths[d], lengths, want[d], kToSpecification, "to the specification,");
}

void check_logits(const Pointer& gpu, const Pointer& cpu, const Prompts& prompts) {
  const std::vector<std::size_t> lengths = {1, 2, 16, 17, 33, 64, 65, 300, 512, 513, 1025, 1500};
  for (const int depth : kDepths) {
    std::vector<std::vector<float>> want;
    for (const std::size_t length : lengths) want.push_back(Session(cpu).logits(prompts.plain(length), depth));
    compare(gpu, prompts, depth, lengths, want, kToFast, "to the fast CPU path,");
  }
}

void check_late_start(const Pointer& gpu, const Prompts& prompts) {
  const auto tokens = prompts.plain(1600);
  const auto vocabulary = static_cast<std::ptrdiff_t>(gpu->info().vocabulary);
  for (const int depth : {2, 3}) {
    Session full(gpu), late(gpu);
    auto want = full.logits(tokens, depth, true);
    want.erase(want.begin(), want.end() - vocabulary);
    const Difference d = difference(late.logits(tokens, depth), want);
    report(d.relative < kSameDevice, "late start depth " + std::to_string(depth), text("largest %.2g, relative %.2g", d.largest, d.relative));
  }
}

GenerateParams params(int depth, int tokens, const std::string& forced = {}) {
  GenerateParams params;
  params.depth = depth;
  params.max_tokens = tokens;
  params.forced = forced;
  return params;
}

// One prompt on both devices: equal, apart at a near tie of this gap, or not compared.
struct Compared {
  bool done = false, same = false;
  double gap = 0;
};

Compared compare_greedy(const Pointer& gpu, const Pointer& cpu, const Engine::Encoded& prompt, int depth) {
  Session there(gpu), here(cpu);
  const auto got = there.generate(prompt.tokens, params(depth, 24, prompt.forced));
  const auto want = here.generate(prompt.tokens, params(depth, 24, prompt.forced));
  if (got.tokens == want.tokens) return {true, true, 0};
  const auto part = std::mismatch(got.tokens.begin(), got.tokens.end(), want.tokens.begin(), want.tokens.end());
  std::vector<TokenId> shared = prompt.tokens;
  shared.insert(shared.end(), want.tokens.begin(), part.second);
  const auto logits = here.logits(shared, depth), there_logits = there.logits(shared, depth);
  // Who ended first chose a stop token; the gap is then to the likeliest of those.
  const auto logit = [&](const std::vector<float>& values, const std::vector<TokenId>& tokens, std::vector<TokenId>::const_iterator at) {
    if (at != tokens.end()) return values[static_cast<std::size_t>(*at)];
    float best = -INFINITY;
    for (const TokenId stop : cpu->stop_tokens()) best = std::max(best, values[static_cast<std::size_t>(stop)]);
    return best;
  };
  Compared result{true, false, 0};
  for (const auto* some : {&logits, &there_logits}) {
    result.gap = std::max(result.gap, std::fabs(static_cast<double>(logit(*some, got.tokens, part.first)) - logit(*some, want.tokens, part.second)));
  }
  return result;
}

// Greedy text is the CPU's, or parts from it at a near tie. The CPU is the slow one: it computes several prompts at once,
// each on an engine of its own.
void check_greedy(const Pointer& gpu, const std::string& model, Prompts& prompts) {
  const std::size_t count = brief ? 4 : 200;
  const double limit_s = 100;
  const std::size_t cores = std::max(1u, std::thread::hardware_concurrency());
  std::vector<Engine::Encoded> asked;
  for (std::size_t i = 0; i < count; ++i) asked.push_back(prompts.hole());
  std::vector<Compared> results(count);
  std::atomic<std::size_t> next{0};
  std::exception_ptr failure;
  std::mutex mutex;
  const auto start = Clock::now();
  const auto work = [&] {
    try {
      EngineOptions options;
      options.model_dir = model;
      options.device = "cpu";
      options.threads = 1;
      const auto cpu = Engine::load(options);
      for (std::size_t i = next++; i < count; i = next++) {
        if (std::chrono::duration<double>(Clock::now() - start).count() > limit_s) return;
        results[i] = compare_greedy(gpu, cpu, asked[i], static_cast<int>(i % 3) + 1);
        if (i % 25 == 24) std::fprintf(stderr, "     greedy: %zu of %zu after %.0f s\n", i + 1, count, std::chrono::duration<double>(Clock::now() - start).count());
      }
    } catch (...) {
      const std::lock_guard lock(mutex);
      failure = std::current_exception();
    }
  };
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < std::min(cores, count); ++t) threads.emplace_back(work);
  for (std::thread& thread : threads) thread.join();
  if (failure) std::rethrow_exception(failure);

  std::size_t done = 0, same = 0, tied = 0;
  std::vector<double> gaps;
  for (const Compared& result : results) {
    done += result.done;
    same += result.same;
    if (!result.done || result.same) continue;
    gaps.push_back(result.gap);
    tied += result.gap < kNearTie;
  }
  std::sort(gaps.begin(), gaps.end());
  const double widest = gaps.empty() ? 0 : gaps.back(), middle = gaps.empty() ? 0 : gaps[gaps.size() / 2];
  report(done == count && same + tied == done, "greedy text of " + std::to_string(done) + " of " + std::to_string(count) + " prompts",
         std::to_string(same) + " equal, " + std::to_string(tied) + " part at a near tie; " + text("gaps: middle %.3f, widest %.3f", middle, widest) + text(" of %.2f allowed", kNearTie));
}

// Sessions of mixed depths at once get what each gets alone, and sooner together than one after the other.
void check_together(const Pointer& gpu, Prompts& prompts) {
  const std::size_t count = brief ? 3 : 12;
  const std::vector<int> depths = {1, 2, 6};
  std::vector<Engine::Encoded> asked;
  std::vector<std::vector<TokenId>> alone, together(count);
  for (std::size_t i = 0; i < count; ++i) asked.push_back(prompts.hole());
  const auto generate = [&](std::size_t i) {
    Session session(gpu);
    return session.generate(asked[i].tokens, params(depths[i % 3], 32, asked[i].forced)).tokens;
  };
  auto start = Clock::now();
  for (std::size_t i = 0; i < count; ++i) alone.push_back(generate(i));
  const double one_by_one = std::chrono::duration<double, std::milli>(Clock::now() - start).count();
  start = Clock::now();
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < count; ++i) threads.emplace_back([&, i] { together[i] = generate(i); });
  for (std::thread& thread : threads) thread.join();
  const double at_once = std::chrono::duration<double, std::milli>(Clock::now() - start).count();
  report(together == alone, std::to_string(count) + " sessions of depths 1, 2 and 6 at once", text("%.0f ms one by one, %.0f ms together", one_by_one, at_once));
}

void check_cancel(const Pointer& gpu, const Prompts& prompts) {
  const auto tokens = prompts.plain(1500);
  Session session(gpu);
  std::stop_source source;
  source.request_stop();
  const bool stopped = !session.sync(tokens, 2, source.get_token());
  const bool went_on = session.sync(tokens, 2) && session.cached_tokens() == tokens.size();
  report(stopped && went_on, "cancel", "a stop request ends a run, and the next goes on");
}

void check_errors(const std::string& root) {
  const auto message = [&](const char* device) -> std::string {
    try {
      load(root + "/models/default", device, true);
    } catch (const std::exception& error) {
      return error.what();
    }
    return "no error";
  };
  setenv("LOOPD_CUDA_MEMORY_MB", "64", 1);
  const std::string memory = message("cuda");
  report(memory.find("too little memory") != std::string::npos && memory.find('\n') == std::string::npos, "too little memory", memory);
  const auto fallen = load(root + "/models/default", "auto", true);
  report(fallen->info().device == "cpu", "too little memory, auto", fallen->info().device + ": " + fallen->info().device_reason);
  unsetenv("LOOPD_CUDA_MEMORY_MB");
  const std::string unknown = message("gpu0");
  report(unknown.find("expected auto, cpu or cuda") != std::string::npos, "unknown device", unknown);
}

// Keys and values in fp8 move the logits, but not far.
void check_fp8(const Pointer& gpu, const std::string& model, const Prompts& prompts) {
  setenv("LOOPD_CUDA_KV", "fp8", 1);
  const auto small = load(model, "cuda", true);
  unsetenv("LOOPD_CUDA_KV");
  for (const int depth : {1, 2}) {
    Difference worst;
    for (const std::size_t length : {5u, 70u, 600u}) {
      const auto tokens = prompts.plain(length);
      const Difference d = difference(Session(small).logits(tokens, depth), Session(gpu).logits(tokens, depth));
      worst.largest = std::max(worst.largest, std::isnan(d.largest) ? INFINITY : d.largest);
      worst.relative = std::max(worst.relative, std::isnan(d.relative) ? INFINITY : d.relative);
    }
    report(worst.relative < kFp8, "fp8 keys and values, depth " + std::to_string(depth), text("largest %.2g, relative %.2g", worst.largest, worst.relative));
  }
}

void time_tokens(const Pointer& gpu, Prompts& prompts) {
  for (const int depth : {1, 2, 3}) {
    std::vector<double> times;
    for (int round = 0; round < 4; ++round) {
      Session session(gpu);
      const auto prompt = prompts.hole();
      const auto result = session.generate(prompt.tokens, params(depth, 64));
      if (result.tokens.size() > 8) times.push_back(result.timings.decode_ms / static_cast<double>(result.tokens.size()));
    }
    if (times.empty()) continue;
    std::printf("     depth %d: %.3f ms a token through Session::generate\n", depth, *std::min_element(times.begin(), times.end()));
  }
}

int run(const std::string& root, const std::vector<std::string>& only) {
  const std::string model = root + "/models/default";
  const auto wanted = [&](const char* part, bool in_brief) { return only.empty() ? in_brief || !brief : std::find(only.begin(), only.end(), part) != only.end(); };
  if (wanted("goldens", true)) check_goldens(root);
  if (only == std::vector<std::string>{"goldens"}) return failed == 0 ? 0 : 1;
  const auto gpu = load(model, "cuda", true);
  std::printf("     %s, %s: %s\n", gpu->info().device.c_str(), gpu->info().kernels.c_str(), gpu->info().device_reason.c_str());
  Prompts prompts(*gpu, root);
  if (wanted("together", true)) check_together(gpu, prompts);
  if (wanted("cancel", true)) check_cancel(gpu, prompts);
  if (wanted("times", false)) time_tokens(gpu, prompts);
  if (wanted("errors", false)) check_errors(root);
  if (wanted("late", false)) check_late_start(gpu, prompts);
  if (wanted("fp8", false)) check_fp8(gpu, model, prompts);
  if (wanted("greedy", false)) check_greedy(gpu, model, prompts);
  if (wanted("logits", false)) check_logits(gpu, load(model, "cpu", true), prompts);
  if (wanted("specification", false)) check_specification(model, gpu, prompts);
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}

}  // namespace

int main(int count, char** values) {
  std::string root;
  std::vector<std::string> only;
  for (int i = 1; i < count; ++i) {
    if (std::string(values[i]) == "--short") {
      brief = true;
    } else if (std::string(values[i]) == "--only" && i + 1 < count) {
      only.emplace_back(values[++i]);
    } else {
      root = values[i];
    }
  }
  if (root.empty()) {
    std::fputs("usage: gpu_parity [--short] [--only PART]... ROOT\n", stderr);
    return 2;
  }
  try {
    return run(root, only);
  } catch (const std::exception& error) {
    std::printf("FAIL parity: %s\n", error.what());
    return 1;
  }
}
