// Medians over rounds, and the spread of the rounds.
#include "lsp/commands/guess_figures.h"

#include <algorithm>
#include <ctime>

#include "lsp/json_rpc.h"

namespace lsp {
namespace {

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

// 0 / 0 where nothing was generated.
double quotient(double above, double below) { return below > 0 ? above / below : 0; }

}  // namespace

double guess_clock_ms(const inference::EngineInfo& info) {
  timespec now{};
  clock_gettime(info.threads == 1 && info.device == "cpu" ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &now);
  return 1e3 * static_cast<double>(now.tv_sec) + 1e-6 * static_cast<double>(now.tv_nsec);
}

Json guess_row(const std::string& text, const Json& depth, const std::vector<TimedAnswer>& answers, const inference::EngineInfo& info) {
  TimedAnswer sum;
  double plain_ms = 0, guessing_ms = 0;
  for (const TimedAnswer& answer : answers) {
    sum.tokens += answer.tokens;
    sum.drafted += answer.drafted;
    sum.accepted += answer.accepted;
    plain_ms += median(answer.plain_ms);
    guessing_ms += median(answer.guessing_ms);
    sum.plain_ms.resize(answer.plain_ms.size());
    sum.guessing_ms.resize(answer.guessing_ms.size());
    for (std::size_t round = 0; round < answer.plain_ms.size(); ++round) sum.plain_ms[round] += answer.plain_ms[round];
    for (std::size_t round = 0; round < answer.guessing_ms.size(); ++round) sum.guessing_ms[round] += answer.guessing_ms[round];
  }
  double low = 0, high = 0;
  for (std::size_t round = 0; round < sum.plain_ms.size(); ++round) {
    const double ratio = quotient(sum.plain_ms[round], sum.guessing_ms[round]);
    low = round == 0 ? ratio : std::min(low, ratio);
    high = std::max(high, ratio);
  }
  const auto tokens = static_cast<double>(sum.tokens);
  return {{"bench", "speculation"}, {"text", text}, {"depth", depth}, {"answers", answers.size()}, {"tokens", sum.tokens},
          {"drafted", sum.drafted}, {"accepted", sum.accepted}, {"plain_tokens_per_s", quotient(1e3 * tokens, plain_ms)},
          {"tokens_per_s", quotient(1e3 * tokens, guessing_ms)}, {"ratio", quotient(plain_ms, guessing_ms)}, {"ratio_low", low}, {"ratio_high", high},
          {"device", info.device}, {"threads", info.threads}};
}

}  // namespace lsp
