// Edits documents at random and compares text, lines and coordinates with a reading from scratch.
#include "context/document.h"

#include <doctest/doctest.h>

#include <random>
#include <string>
#include <vector>

using context::AppliedEdit;
using context::Document;
using context::Point;

namespace {

// Line starts by the definition alone, one byte after the other.
std::vector<std::size_t> naive_line_starts(const std::string& text) {
  std::vector<std::size_t> starts{0};
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool crlf = text[i] == '\r' && i + 1 < text.size() && text[i + 1] == '\n';
    if (crlf) {
      ++i;
    }
    if (text[i] == '\n' || text[i] == '\r') {
      starts.push_back(i + 1);
    }
  }
  return starts;
}

// Row and column with rows that end at "\n", as tree-sitter counts.
Point naive_parser_point(const std::string& text, std::size_t offset) {
  Point point;
  for (std::size_t i = 0; i < offset; ++i) {
    point.column = text[i] == '\n' ? 0 : point.column + 1;
    point.row += text[i] == '\n' ? 1 : 0;
  }
  return point;
}

bool same(Point a, Point b) { return a.row == b.row && a.column == b.column; }

}  // namespace

TEST_CASE("lines of a small text") {
  const Document document("ab\ncd\r\ne\rf", 7);
  CHECK(document.version() == 7);
  REQUIRE(document.line_count() == 4);
  CHECK(document.line_start(1) == 3);
  CHECK(document.line_end(1) == 5);
  CHECK(document.line_end(2) == 8);
  CHECK(document.line_end(3) == 10);
  CHECK(document.line_start(9) == 10);
  CHECK(document.line_of(2) == 0);
  CHECK(document.line_of(3) == 1);
  CHECK(document.line_of(6) == 1);
  CHECK(document.line_of(100) == 3);
  CHECK(same(document.point_at(4), {1, 1}));
  CHECK(Document("", 0).line_count() == 1);
  CHECK(Document("\n", 0).line_count() == 2);
}

TEST_CASE("edits out of range are clamped") {
  const Document document("abc", 1);
  AppliedEdit applied;
  CHECK(document.with_edit(2, 100, "X", 2, &applied)->text() == "abX");
  CHECK(applied.old_end == 3);
  CHECK(document.with_edit(100, 200, "X", 2)->text() == "abcX");
  CHECK(document.with_edit(2, 1, "X", 2, &applied)->text() == "abXc");
  CHECK(applied.start == 2);
  CHECK(applied.old_end == 2);
  CHECK(document.text() == "abc");
}

TEST_CASE("random edits agree with a plain string") {
  for (unsigned seed = 0; seed < 40; ++seed) {
    std::mt19937 random(seed);
    INFO("seed ", seed);
    // The alphabet is mostly terminators, so that edits join and split "\r\n" often; half the runs have no lone "\r".
    const std::vector<std::string> alphabet =
        seed % 2 == 0 ? std::vector<std::string>{"\r", "\n", "\r\n", "a", "bc", "\xc3\xa9", "\t"}
                      : std::vector<std::string>{"\n", "\n\n", "a", "bc", "\xe2\x82\xac", " "};
    const auto below = [&](std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(random); };
    std::string text;
    auto document = std::make_shared<const Document>(text, 0);
    for (int step = 1; step <= 250; ++step) {
      std::string replacement;
      for (std::size_t n = below(5); n > 0; --n) {
        replacement += alphabet[below(alphabet.size())];
      }
      const std::size_t start = below(text.size() + 1);
      const std::size_t end = std::min(text.size(), start + below(step % 3 == 0 ? 8 : 3));
      const std::string before = text;
      text.replace(start, end - start, replacement);
      AppliedEdit applied;
      document = document->with_edit(start, end, replacement, step, &applied);

      REQUIRE(document->text() == text);
      REQUIRE(document->version() == step);
      const std::vector<std::size_t> starts = naive_line_starts(text);
      REQUIRE(document->line_count() == starts.size());
      for (std::size_t line = 0; line < starts.size(); ++line) {
        REQUIRE(document->line_start(line) == starts[line]);
      }
      REQUIRE(applied.start == start);
      REQUIRE(applied.old_end == end);
      REQUIRE(applied.new_end == start + replacement.size());
      REQUIRE(same(applied.start_point, naive_parser_point(before, start)));
      REQUIRE(same(applied.old_end_point, naive_parser_point(before, end)));
      REQUIRE(same(applied.new_end_point, naive_parser_point(text, applied.new_end)));
    }
  }
}
