// Scores, by hand-counted examples.
#include "lsp/infill_score.h"

#include <doctest/doctest.h>

TEST_CASE("edit similarity") {
  CHECK(lsp::edit_similarity("", "") == 1);
  CHECK(lsp::edit_similarity("abc", "abc") == 1);
  CHECK(lsp::edit_similarity("abc", "") == 0);
  CHECK(lsp::edit_similarity("kitten", "sitting") == doctest::Approx(1 - 3.0 / 7));
  CHECK(lsp::edit_similarity("flaw", "lawn") == doctest::Approx(0.5));
}

TEST_CASE("a score of four tasks") {
  lsp::InfillScore score;
  CHECK(score.exact_match() == 0);
  CHECK(score.median_ms() == 0);
  score.add("    return x\n", {"    return x  ", true, 10});
  score.add("}", {"}", true, 30});
  score.add("abcd", {"abce", false, 20, 12, 4, 1, true});
  score.add("x1", {"", false, 40, 8, 1, 0, false});
  CHECK(score.exact_match() == 0.5);
  CHECK(score.nontrivial_count == 3);
  CHECK(score.nontrivial_exact_match() == doctest::Approx(1.0 / 3));
  CHECK(score.edit_similarity() == doctest::Approx((1 + 1 + 0.75 + 0) / 4));
  CHECK(score.end_rate() == 0.5);
  CHECK(score.median_ms() == 30);
  CHECK(score.ms_per_token() == 4);
  CHECK(score.early_rate() == doctest::Approx(0.2));
  CHECK(score.empty == 1);
  CHECK(score.revised == 1);
}
