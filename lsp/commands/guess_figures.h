// Of `loopd bench decode --speculation`: the times of answers with guesses and without, in turns, and what they come to.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "inference/engine.h"

namespace lsp {

// One answer, generated several times.
struct TimedAnswer {
  std::size_t tokens = 0, drafted = 0, accepted = 0;
  std::vector<double> plain_ms, guessing_ms;  // one a round, of decoding alone
};

// Rounds of each answer; the machine's noise hits single ones.
constexpr int kGuessRounds = 5;

// Now, in milliseconds. With one thread the process's own time, which other work on the machine does not lengthen.
double guess_clock_ms(const inference::EngineInfo& info);

// A row of the report: tokens a second from the sums of the answers' medians, "ratio" of the two, and the lowest and highest
// ratio that a single round comes to, which is the noise. `depth` is a number or "policy".
nlohmann::json guess_row(const std::string& text, const nlohmann::json& depth, const std::vector<TimedAnswer>& answers, const inference::EngineInfo& info);

}  // namespace lsp
