// `loopd bench decode --speculation`: tokens a second with guessed tokens and without, where text repeats and where not,
// and by syntax class in recorded typing.
#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "lsp/commands/bench_typing.h"
#include "lsp/commands/commands.h"
#include "lsp/commands/guess_figures.h"
#include "lsp/commands/guess_samples.h"
#include "lsp/commands/open_model.h"
#include "lsp/json_rpc.h"

namespace lsp {
namespace {

// What stands in front of the cursor for each answer of a sample.
std::vector<std::string> places_of(const GuessSample& sample) {
  std::vector<std::string> places;
  for (std::size_t line = 0; line < sample.written.size();) {
    const std::size_t code = sample.written.find_first_not_of(" \t\n", line);
    if (code == std::string::npos) break;
    places.push_back(sample.prefix + sample.written.substr(0, code));
    line = sample.written.find('\n', code);
  }
  if (places.empty()) places.push_back(sample.prefix);
  return places;
}

// All answers of a sample, in one session with guesses and one without, round after round. A session that guesses begins
// each round with nothing learned.
std::vector<TimedAnswer> measure(const std::shared_ptr<const inference::Engine>& engine, const GuessSample& sample, int depth) {
  const std::vector<std::string> places = places_of(sample);
  std::vector<TimedAnswer> answers(places.size());
  for (int round = 0; round < kGuessRounds; ++round) {
    inference::Session plain(engine), guessing(engine);
    for (std::size_t i = 0; i < places.size(); ++i) {
      inference::FimPrompt prompt;
      prompt.path = sample.path;
      prompt.prefix = places[i];
      prompt.suffix = sample.suffix;
      const auto encoded = engine->encode_fim(prompt);
      inference::GenerateParams params;
      params.depth = depth;
      params.max_tokens = 64;
      params.forced = encoded.forced;
      TimedAnswer& answer = answers[i];
      std::vector<inference::TokenId> want;
      // Who comes second finds the machine's caches warm, so that they take turns at it.
      for (const bool second : {false, true}) {
        params.speculate = second == ((static_cast<std::size_t>(round) + i) % 2 == 0);
        inference::Session& session = params.speculate ? guessing : plain;
        session.sync(encoded.tokens, depth);
        const double start = guess_clock_ms(engine->info());
        const auto result = session.generate(encoded.tokens, params);
        const double ms = guess_clock_ms(engine->info()) - start;
        if (second && result.tokens != want) throw std::runtime_error(std::string(sample.path) + ": guessed tokens changed what is generated");
        want = result.tokens;
        (params.speculate ? answer.guessing_ms : answer.plain_ms).push_back(ms);
        if (round > 0 || !params.speculate) continue;
        answer.tokens = result.tokens.size();
        answer.drafted = result.timings.drafted_tokens;
        answer.accepted = result.timings.accepted_tokens;
      }
    }
  }
  return answers;
}

void print(const Json& row) {
  const std::string depth = row.at("depth").is_string() ? row.at("depth").get<std::string>() : std::to_string(row.at("depth").get<int>());
  std::printf("%-10s %6s %7zu %7zu %8zu %6zu %15.0f %13.0f %6.2f  %.2f to %.2f\n", row.at("text").get<std::string>().c_str(), depth.c_str(),
              row.at("answers").get<std::size_t>(), row.at("tokens").get<std::size_t>(), row.at("drafted").get<std::size_t>(),
              row.at("accepted").get<std::size_t>(), row.at("plain_tokens_per_s").get<double>(), row.at("tokens_per_s").get<double>(),
              row.at("ratio").get<double>(), row.at("ratio_low").get<double>(), row.at("ratio_high").get<double>());
  std::fflush(stdout);
}

}  // namespace

int bench_speculation(const Options& options, const Settings& settings) {
  const auto engine = inference::Engine::load(engine_options(options, settings));
  std::vector<int> depths = options.depths;
  if (depths.empty()) depths = {1, 2};
  Json rows = Json::array();
  if (!options.json) std::puts("text        depth answers  tokens  guessed  right  tokens/s plain  with guesses  ratio  of single rounds");
  for (const bool repeating : {true, false}) {
    for (const int depth : depths) {
      std::vector<TimedAnswer> answers;
      for (const GuessSample& sample : repeating ? repeating_edits() : other_openings()) {
        const auto more = measure(engine, sample, depth);
        answers.insert(answers.end(), more.begin(), more.end());
      }
      rows.push_back(guess_row(repeating ? "repeating" : "other", depth, answers, engine->info()));
      if (!options.json) print(rows.back());
    }
  }
  std::vector<std::optional<int>> typed(options.depths.begin(), options.depths.end());
  if (typed.empty()) typed = {std::nullopt};  // the policy's
  for (const auto& depth : typed) {
    for (Json& row : bench_typing(engine, depth, options.limit, settings)) {
      if (!options.json) print(row);
      rows.push_back(std::move(row));
    }
  }
  if (options.json) std::puts(to_text(rows).c_str());
  return 0;
}

}  // namespace lsp
