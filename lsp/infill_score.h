// Scores filled holes: exact match, edit similarity, end rate and times, as infilling benchmarks count them.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace lsp {

struct FilledHole {
  std::string text;
  bool ended = false;  // by the model's own end token
  double ms = 0;
  double decode_ms = 0;       // of it, for the tokens
  std::size_t tokens = 0;
  std::size_t early = 0;      // of them, taken from an earlier loop
  bool revised = false;       // a revise pass was spent
};

// 1 - Levenshtein distance / length of the longer, over bytes; 1 for two empty texts.
double edit_similarity(std::string_view a, std::string_view b);

struct InfillScore {
  std::size_t count = 0;
  std::size_t exact = 0;  // equal but for blanks at the end
  std::size_t nontrivial_count = 0;  // the reference has at least two letters or digits: not just a bracket
  std::size_t nontrivial_exact = 0;
  std::size_t ended = 0;
  double similarity = 0;  // sum
  std::vector<double> times_ms;
  double decode_ms = 0;  // sum
  std::size_t tokens = 0;
  std::size_t early = 0;
  std::size_t empty = 0;    // answered with nothing
  std::size_t revised = 0;

  void add(std::string_view reference, const FilledHole& answer);

  // Shares of 0..1; 0 where nothing was counted.
  double exact_match() const;
  double nontrivial_exact_match() const;
  double edit_similarity() const;
  double end_rate() const;
  double median_ms() const;
  double early_rate() const;
  double ms_per_token() const;
};

}  // namespace lsp
