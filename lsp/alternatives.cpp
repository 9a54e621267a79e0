// Completes the same place again and again, each time with one beginning less.
#include "lsp/alternatives.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "context/lex.h"

namespace lsp {
namespace {

using Clock = std::chrono::steady_clock;

// Whether two texts differ in blanks at most: nobody wants to cycle through those.
bool same_but_for_blanks(std::string_view a, std::string_view b) {
  const auto skip = [](std::string_view& text) {
    while (!text.empty() && context::is_blank(text.front())) text.remove_prefix(1);
  };
  for (skip(a), skip(b); !a.empty() && !b.empty() && a.front() == b.front(); skip(a), skip(b)) {
    a.remove_prefix(1);
    b.remove_prefix(1);
  }
  return a.empty() && b.empty();
}

}  // namespace

std::vector<Completion> complete_several(const ModelPort& model, const CompletionInput& input, std::size_t most,
                                         std::chrono::milliseconds time, std::stop_token stop) {
  std::vector<Completion> answers{complete(model, input, stop)};
  if (answers.front().text.empty()) return answers;
  CompletionInput next = input;
  next.options.passes = 0;
  std::optional<inference::TokenId> began = answers.front().first_token;
  const auto until = Clock::now() + time;
  // Some say the same in other tokens, so that there are more tries than answers.
  for (std::size_t tries = 2 * (most - 1); tries > 0 && began && answers.size() < most && !stop.stop_requested(); --tries) {
    next.options.banned_first.push_back(*began);
    if (time.count() > 0) {
      next.options.deadline = std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::now());
      if (next.options.deadline.count() <= 0) break;
    }
    Completion other = complete(model, next, stop);
    if (other.finish_reason == inference::name(inference::FinishReason::deadline)) break;  // it ends anywhere
    began = other.first_token;
    const bool known = std::any_of(answers.begin(), answers.end(), [&](const Completion& one) { return same_but_for_blanks(one.text, other.text); });
    if (known || same_but_for_blanks(other.text, "")) continue;
    other.explain.push_back("another suggestion: it was to begin differently than those before it");
    answers.push_back(std::move(other));
  }
  return answers;
}

}  // namespace lsp
