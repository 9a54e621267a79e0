// Measures prompts: exact at the cursor, within the budget, and with edges that stay while somebody types.
#include "context/prompt.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

using namespace context;

namespace {

// Words and marks, about as long as a byte-level tokenizer's tokens in code.
std::size_t count_tokens(std::string_view text) {
  std::size_t tokens = 0;
  for (std::size_t i = 0; i < text.size(); ++tokens) {
    const std::size_t start = i;
    while (i < text.size() && i - start < 6 && text[i] >= 'a' && text[i] <= 'z') {
      ++i;
    }
    i += i == start ? 1 : 0;
  }
  return tokens;
}

std::string many_lines(int count) {
  std::string text;
  for (int i = 0; i < count; ++i) {
    text += "    value" + std::to_string(i) + " = call(first, second)\n";
  }
  return text;
}

// The layout in which a keystroke changes only the end: snippets, suffix, prefix.
std::string layout(const Prompt& prompt) {
  std::string text = prompt.path;
  for (const Snippet& snippet : prompt.snippets) {
    text += snippet.path + "\n" + snippet.text;
  }
  return text + prompt.suffix + "|" + prompt.prefix;
}

bool is_valid_utf8_cut(const std::string& text) {
  return text.empty() || (static_cast<unsigned char>(text[0]) & 0xC0) != 0x80;
}

}  // namespace

TEST_CASE("a short document goes in whole, split at the cursor") {
  const std::string text = "import os\n\ndef f():\n    return \n";
  const Document document(text, 1);
  for (std::size_t offset = 0; offset <= text.size(); ++offset) {
    const Prompt prompt = build_prompt(document, offset, "a.py", {}, {}, count_tokens);
    CHECK(prompt.prefix == text.substr(0, offset));
    CHECK(prompt.suffix == text.substr(offset));
    CHECK(prompt.path == "a.py");
  }
}

TEST_CASE("budgets hold for random documents and cursors") {
  std::mt19937 random(5);
  const auto below = [&](std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(random); };
  for (int round = 0; round < 300; ++round) {
    std::string text;
    for (std::size_t n = below(300); n > 0; --n) {
      text += std::string(below(40), 'a') + (below(3) == 0 ? "\xe2\x82\xac" : " = b") + (below(9) == 0 ? "" : "\n");
    }
    const Document document(text, 1);
    const PromptBudget budget{50 + below(1000), below(400), below(400)};
    const std::vector<Snippet> candidates{{"far.py", many_lines(20)}, {"near.py", many_lines(5)}};
    std::size_t offset = below(text.size() + 1);
    while (offset < text.size() && (static_cast<unsigned char>(text[offset]) & 0xC0) == 0x80) {
      --offset;
    }
    const Prompt prompt = build_prompt(document, offset, "a.py", candidates, budget, count_tokens);
    std::size_t snippets = 0;
    for (const Snippet& snippet : prompt.snippets) {
      snippets += count_tokens(snippet.path) + count_tokens(snippet.text);
    }
    INFO("round ", round);
    CHECK(snippets <= budget.snippets);
    CHECK(count_tokens(prompt.suffix) <= budget.suffix);
    CHECK(count_tokens(prompt.path) + snippets + count_tokens(prompt.prefix) + count_tokens(prompt.suffix) <= budget.total);
    // Both sides meet at the cursor, byte for byte.
    const std::string around = prompt.prefix + prompt.suffix;
    REQUIRE(prompt.prefix.size() <= offset);
    CHECK(is_valid_utf8_cut(prompt.prefix));
    CHECK(is_valid_utf8_cut(prompt.suffix));
    const std::size_t end = offset + prompt.suffix.size();
    CHECK(text.compare(offset - prompt.prefix.size(), around.size(), around) == 0);
    CHECK((end >= text.size() || (static_cast<unsigned char>(text[end]) & 0xC0) != 0x80));
  }
}

TEST_CASE("typing 200 characters changes only the end of the layout") {
  const std::string text = many_lines(400);
  auto document = std::make_shared<const Document>(text, 0);
  std::size_t offset = document->line_start(203) + 10;
  const std::vector<Snippet> candidates{{"b.py", many_lines(8)}};
  std::string before = layout(build_prompt(*document, offset, "a.py", candidates, {}, count_tokens));
  const std::string typed = "alpha = beta(gamma)\n    delta = eps\n";
  std::size_t moved = 0;
  for (int i = 0; i < 200; ++i) {
    document = document->with_edit(offset, offset, std::string(1, typed[static_cast<std::size_t>(i) % typed.size()]), i + 1);
    ++offset;
    const std::string after = layout(build_prompt(*document, offset, "a.py", candidates, {}, count_tokens));
    const auto difference = std::mismatch(before.begin(), before.end(), after.begin(), after.end());
    const auto common = static_cast<std::size_t>(difference.first - before.begin());
    // Now and then the budget is full and the prefix starts 32 lines later; all other keystrokes add one byte.
    moved += common + 4 < before.size() ? 1 : 0;
    before = after;
  }
  CHECK(moved <= 1);
}

TEST_CASE("lines typed above the cursor leave the suffix alone") {
  const std::string text = many_lines(300);
  auto document = std::make_shared<const Document>(text, 0);
  const std::size_t offset = document->line_start(150);
  const Prompt before = build_prompt(*document, offset, "a.py", {}, {}, count_tokens);
  const std::string added = "import sys\nimport re\n\n";
  document = document->with_edit(0, 0, added, 1);
  const Prompt after = build_prompt(*document, offset + added.size(), "a.py", {}, {}, count_tokens);
  CHECK(after.suffix == before.suffix);
  CHECK(before.suffix.size() > 500);
  CHECK(before.suffix.back() == '\n');
}

TEST_CASE("a prefix starts at a line, and a giant line is cut at a character") {
  const std::string text = many_lines(400);
  const Prompt lines = build_prompt(Document(text, 1), text.size(), "a.py", {}, {}, count_tokens);
  CHECK(text.find("\n" + lines.prefix) != std::string::npos);
  CHECK(count_tokens(lines.prefix) > 1000);

  std::string giant;
  while (giant.size() < 60000) {
    giant += "\xe2\x82\xac\xc3\xa9x";
  }
  const Prompt cut = build_prompt(Document(giant, 1), giant.size() / 2, "a.py", {}, {}, count_tokens);
  CHECK(!cut.prefix.empty());
  CHECK(!cut.suffix.empty());
  CHECK(is_valid_utf8_cut(cut.prefix));
  CHECK(is_valid_utf8_cut(cut.suffix));
  CHECK(count_tokens(cut.prefix) + count_tokens(cut.suffix) <= 2048);
  CHECK(count_tokens(cut.prefix) > 500);
}

TEST_CASE("the most relevant snippet goes in first and stands last") {
  const Document document("x = 1\n", 1);
  const std::vector<Snippet> candidates{{"far.py", "a a a"}, {"middle.py", many_lines(200)}, {"near.py", "b b b"}};
  const Prompt prompt = build_prompt(document, 0, "a.py", candidates, {}, count_tokens);
  REQUIRE(prompt.snippets.size() == 2);
  CHECK(prompt.snippets[0].path == "far.py");
  CHECK(prompt.snippets[1].path == "near.py");
}
