// Two-row Levenshtein and counters.
#include "lsp/infill_score.h"

#include <algorithm>
#include <cctype>
#include <numeric>
#include <utility>

#include "context/lines.h"

namespace lsp {
namespace {

double share(std::size_t part, std::size_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

}  // namespace

double edit_similarity(std::string_view a, std::string_view b) {
  if (a.empty() && b.empty()) return 1;
  std::vector<std::size_t> above(b.size() + 1);
  std::iota(above.begin(), above.end(), std::size_t{0});
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t i = 0; i < a.size(); ++i) {
    row[0] = i + 1;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t substituted = above[j] + (a[i] == b[j] ? 0 : 1);
      row[j + 1] = std::min({substituted, above[j + 1] + 1, row[j] + 1});
    }
    std::swap(above, row);
  }
  return 1 - static_cast<double>(above[b.size()]) / static_cast<double>(std::max(a.size(), b.size()));
}

void InfillScore::add(std::string_view reference, const FilledHole& answer) {
  const std::string_view wanted = context::right_trimmed(reference);
  const std::string_view got = context::right_trimmed(answer.text);
  const bool same = wanted == got;
  const auto letters = std::count_if(wanted.begin(), wanted.end(), [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; });
  ++count;
  exact += same;
  if (letters >= 2) {
    ++nontrivial_count;
    nontrivial_exact += same;
  }
  ended += answer.ended;
  similarity += lsp::edit_similarity(wanted, got);
  times_ms.push_back(answer.ms);
  decode_ms += answer.decode_ms;
  tokens += answer.tokens;
  early += answer.early;
  empty += got.empty();
  revised += answer.revised;
}

double InfillScore::exact_match() const { return share(exact, count); }
double InfillScore::nontrivial_exact_match() const { return share(nontrivial_exact, nontrivial_count); }
double InfillScore::edit_similarity() const { return count == 0 ? 0 : similarity / static_cast<double>(count); }
double InfillScore::end_rate() const { return share(ended, count); }

double InfillScore::early_rate() const { return share(early, tokens); }
double InfillScore::ms_per_token() const { return tokens == 0 ? 0 : decode_ms / static_cast<double>(tokens); }

double InfillScore::median_ms() const {
  if (times_ms.empty()) return 0;
  std::vector<double> sorted = times_ms;
  const auto middle = sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() / 2);
  std::nth_element(sorted.begin(), middle, sorted.end());
  return *middle;
}

}  // namespace lsp
