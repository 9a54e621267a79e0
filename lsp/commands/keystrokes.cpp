// `loopd bench keystrokes`: how long after a key its answer comes, and what that costs, in replays of recorded typing.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include <stdlib.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "lsp/commands/commands.h"
#include "lsp/commands/open_model.h"
#include "lsp/commands/recording.h"
#include "lsp/commands/typing_client.h"
#include "lsp/json_rpc.h"

namespace lsp {
namespace {

namespace fs = std::filesystem;

// A runtime folder of this run alone, so that its engine process serves nobody else and is told from others.
class RuntimeFolder {
 public:
  RuntimeFolder() {
    if (!mkdtemp(path_.data())) throw std::runtime_error(path_ + ": cannot be made");
  }
  ~RuntimeFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  RuntimeFolder(const RuntimeFolder&) = delete;
  RuntimeFolder& operator=(const RuntimeFolder&) = delete;
  std::string variable() const { return "XDG_RUNTIME_DIR=" + path_; }

 private:
  std::string path_ = (fs::temp_directory_path() / "loopd-bench-XXXXXX").string();
};

struct Usage {
  double cpu_s = 0;
  double rss_mb = 0;
};

std::string contents(const std::string& file) {
  std::ostringstream text;
  text << std::ifstream(file, std::ios::binary).rdbuf();
  return text.str();
}

Usage usage_of(const std::string& process) {
  Usage usage;
  // Fields 14 and 15 are user and system time in ticks; the second, in brackets, may hold blanks.
  const std::string stat = contents("/proc/" + process + "/stat");
  std::istringstream fields(stat.substr(std::min(stat.size(), stat.rfind(')') + 2)));
  std::string skipped;
  for (int field = 3; field < 14; ++field) fields >> skipped;
  double user = 0, system = 0;
  fields >> user >> system;
  usage.cpu_s = (user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
  const std::string status = contents("/proc/" + process + "/status");
  const std::size_t rss = status.find("VmRSS:");
  if (rss != std::string::npos) usage.rss_mb = std::stod(status.substr(rss + 6)) / 1024;
  return usage;
}

// Of all loopd processes of this run: the servers, and the engine process that they share.
Usage usage_of_run(const RuntimeFolder& folder) {
  Usage sum;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator("/proc", error)) {
    const std::string name = entry.path().filename().string();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const std::string environment = contents("/proc/" + name + "/environ");
    if (('\0' + environment).find('\0' + folder.variable() + '\0') == std::string::npos) continue;
    const Usage one = usage_of(name);
    sum.cpu_s += one.cpu_s;
    sum.rss_mb += one.rss_mb;
  }
  return sum;
}

struct Run {
  TypingFigures all;
  Usage used;  // processor time from the first key on; memory at the end
};

void add(std::vector<double>& to, const std::vector<double>& more) { to.insert(to.end(), more.begin(), more.end()); }

void add(TypingFigures& to, const TypingFigures& more) {
  add(to.key_ms, more.key_ms);
  add(to.model_ms, more.model_ms);
  add(to.jump_ms, more.jump_ms);
  add(to.tokens, more.tokens);
  to.keys += more.keys;
  to.requests += more.requests;
  to.cancelled += more.cancelled;
  to.from_memory += more.from_memory;
  to.shown += more.shown;
  to.taken += more.taken;
  to.taken_characters += more.taken_characters;
  to.computed_tokens += more.computed_tokens;
  to.prefetched_tokens += more.prefetched_tokens;
  to.generated_tokens += more.generated_tokens;
  to.engine_ms += more.engine_ms;
  for (const auto& [name, guesses] : more.guesses) {
    TypingFigures::Guesses& sum = to.guesses[name];
    sum.answers += guesses.answers;
    sum.generated += guesses.generated;
    sum.drafted += guesses.drafted;
    sum.accepted += guesses.accepted;
    sum.decode_ms += guesses.decode_ms;
  }
}

// Between the beginnings of two clients: people who type at once do not press the same key in the same millisecond.
constexpr std::chrono::milliseconds kApart(173);

// All clients begin once the last of them is warm, one soon after the other.
Run replay(const std::vector<Recording>& recordings, const TypingOptions& options, const RuntimeFolder& folder, int clients) {
  EventLoop loop;
  loop.on_terminate([&] { loop.stop(); });
  std::vector<std::vector<Recording>> each;
  for (int i = 0; i < clients; ++i) {
    each.push_back(recordings);
    std::rotate(each.back().begin(), each.back().begin() + i % static_cast<int>(recordings.size()), each.back().end());
  }
  std::vector<std::unique_ptr<TypingClient>> typing;
  int ready = 0, through = 0;
  Usage before, after;
  for (int i = 0; i < clients; ++i) {
    typing.push_back(std::make_unique<TypingClient>(
        loop, each[static_cast<std::size_t>(i)], options,
        [&] {
          if (++ready < clients) return;
          before = usage_of_run(folder);
          for (int i = 0; i < clients; ++i) loop.after(i * kApart, [&typing, i] { typing[static_cast<std::size_t>(i)]->begin(); });
        },
        [&] {
          if (++through < clients) return;
          after = usage_of_run(folder);
          loop.stop();
        }));
  }
  loop.run();
  Run run;
  for (const auto& client : typing) {
    if (!client->trouble().empty()) throw std::runtime_error(client->trouble());
    add(run.all, client->figures());
  }
  if (through < clients) throw std::runtime_error("stopped");
  run.used = {after.cpu_s - before.cpu_s, after.rss_mb};
  return run;
}

double percentile(std::vector<double> values, double share) {
  if (values.empty()) return 0;
  const auto at = values.begin() + static_cast<std::ptrdiff_t>(std::min(values.size() - 1, static_cast<std::size_t>(share * static_cast<double>(values.size()))));
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

double share(std::size_t part, std::size_t whole) { return whole == 0 ? 0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole); }

Json spread(const std::vector<double>& ms) {
  return {{"count", ms.size()}, {"p50", percentile(ms, 0.5)}, {"p90", percentile(ms, 0.9)}, {"p99", percentile(ms, 0.99)}};
}

// How many tokens were guessed, and the time of those generated; what guessing saves, bench decode --speculation says.
Json guesses_of(const TypingFigures& f) {
  Json classes = Json::object();
  for (const auto& [name, guesses] : f.guesses) {
    if (guesses.generated == 0) continue;
    classes[name] = {{"answers", guesses.answers}, {"generated", guesses.generated}, {"drafted", guesses.drafted},
                     {"accepted", guesses.accepted}, {"ms_per_token", guesses.decode_ms / static_cast<double>(guesses.generated)}};
  }
  return classes;
}

Json figures(const Run& run, int depth, int clients, const Options& options) {
  const TypingFigures& f = run.all;
  double tokens = 0;
  for (const double one : f.tokens) tokens += one;
  const auto cheap = static_cast<std::size_t>(std::count_if(f.tokens.begin(), f.tokens.end(), [](double n) { return n <= 4; }));
  const auto taken = static_cast<double>(f.taken_characters);
  return {{"bench", "keystrokes"}, {"depth", depth}, {"clients", clients}, {"standalone", options.standalone},
          {"debounce_ms", options.debounce_ms}, {"keys", f.keys}, {"key_ms", spread(f.key_ms)},
          {"model_ms", spread(f.model_ms)}, {"jump_ms", spread(f.jump_ms)}, {"cancelled_pct", share(f.cancelled, f.requests)},
          {"from_memory_pct", share(f.from_memory, f.key_ms.size() + f.jump_ms.size())},
          {"tokens_per_key", f.tokens.empty() ? 0.0 : tokens / static_cast<double>(f.tokens.size())},
          {"keys_of_4_tokens_pct", share(cheap, f.tokens.size())}, {"prefetched_tokens", f.prefetched_tokens},
          {"computed_tokens", f.computed_tokens}, {"generated_tokens", f.generated_tokens}, {"shown", f.shown}, {"taken", f.taken},
          {"taken_characters", f.taken_characters}, {"cpu_s", run.used.cpu_s},
          {"cpu_ms_per_key", 1e3 * run.used.cpu_s / static_cast<double>(std::max<std::size_t>(1, f.keys))},
          {"cpu_s_per_taken_character", f.taken_characters == 0 ? Json() : Json(run.used.cpu_s / taken)},
          {"engine_s", f.engine_ms / 1e3}, {"engine_s_per_taken_character", f.taken_characters == 0 ? Json() : Json(f.engine_ms / 1e3 / taken)},
          {"rss_mb", run.used.rss_mb},
          {"guesses", guesses_of(f)}};
}

void print(const Json& row) {
  const Json& key = row.at("key_ms");
  const Json& model = row.at("model_ms");
  std::printf("%5d  %7d  %5zu  %6.1f %6.1f %6.1f  %6.1f %6.1f %6.1f  %8.1f%%  %6.1f%%  %10.2f  %7.1f%%  %6zu  %6.1f  %6.0f\n", row.at("depth").get<int>(),
              row.at("clients").get<int>(), row.at("keys").get<std::size_t>(), key.at("p50").get<double>(), key.at("p90").get<double>(),
              key.at("p99").get<double>(), model.at("p50").get<double>(), model.at("p90").get<double>(), model.at("p99").get<double>(),
              row.at("cancelled_pct").get<double>(), row.at("from_memory_pct").get<double>(), row.at("tokens_per_key").get<double>(),
              row.at("keys_of_4_tokens_pct").get<double>(), row.at("taken_characters").get<std::size_t>(), row.at("cpu_ms_per_key").get<double>(),
              row.at("rss_mb").get<double>());
  for (const auto& [name, guesses] : row.at("guesses").items()) {
    std::printf("       %-10s %zu answers, %zu tokens of %.2f ms, %zu of %zu guesses right\n", name.c_str(), guesses.at("answers").get<std::size_t>(),
                guesses.at("generated").get<std::size_t>(), guesses.at("ms_per_token").get<double>(), guesses.at("accepted").get<std::size_t>(),
                guesses.at("drafted").get<std::size_t>());
  }
  std::fflush(stdout);
}

}  // namespace

int bench_keystrokes(const Options& options, const Settings& settings) {
  std::vector<std::string> files(options.arguments.begin() + 1, options.arguments.end());
  if (files.empty()) files = recordings_at_hand();
  std::vector<Recording> recordings;
  for (const std::string& file : files) recordings.push_back(read_recording(file));

  TypingOptions typing;
  typing.arguments = {"--model", model_folder(options, settings), "--device", options.device.empty() ? settings.device : options.device, "--idle", "1"};
  if (options.threads) typing.arguments.insert(typing.arguments.end(), {"--threads", std::to_string(*options.threads)});
  if (options.standalone) typing.arguments.push_back("--standalone");
  typing.debounce = std::chrono::milliseconds(options.debounce_ms);
  typing.most_events = static_cast<std::size_t>(options.limit.value_or(0));

  Json rows = Json::array();
  if (!options.json) {
    std::puts("                        key to answer, ms    where the model ran              from              4 tokens   taken  CPU ms  memory");
    std::puts("depth  clients   keys     p50    p90    p99     p50    p90    p99  cancelled   memory  tokens/key  or fewer   chars   a key      MB");
  }
  for (const int depth : options.depths.empty() ? std::vector<int>{1, 3} : options.depths) {
    typing.depth = depth;
    std::vector<int> counts{1};
    if (options.clients > 1) counts.push_back(options.clients);  // beside one, so that the two can be compared
    for (const int clients : counts) {
      const RuntimeFolder folder;
      typing.environment = {folder.variable()};
      rows.push_back(figures(replay(recordings, typing, folder, clients), depth, clients, options));
      if (!options.json) print(rows.back());
    }
  }
  if (options.json) std::puts(to_text(rows).c_str());
  return 0;
}

}  // namespace lsp
