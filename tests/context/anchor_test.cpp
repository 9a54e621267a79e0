// How long a prompt's beginning stays, when it must not, and that a prompt always ends at the cursor.
#include "context/anchor.h"

#include <doctest/doctest.h>

#include <random>
#include <string>
#include <vector>

using namespace context;

namespace {

std::string many_lines(int count) {
  std::string text;
  for (int i = 0; i < count; ++i) text += "    value" + std::to_string(i) + " = call(first, second);\n";
  return text;
}

// A token for every four bytes.
struct Prompts {
  Anchors anchors{};
  PromptBudget budget{};
  std::vector<Snippet> snippets{};
  std::size_t chosen = 0;

  Anchored at(const std::string& text, std::size_t cursor, bool renew = false) {
    const Document document(text, 1);
    const std::string path = "a.c";
    const TokenCounter count = [](std::string_view piece) { return (piece.size() + 3) / 4; };
    const std::function<std::vector<Snippet>()> candidates = [&] {
      ++chosen;
      return snippets;
    };
    const PromptRequest request{document, cursor, path, candidates, budget, count};
    return renew ? renewed_prompt(anchors, request) : anchored_prompt(anchors, request);
  }
  // The cursor as "|".
  Anchored at(std::string marked) {
    const std::size_t cursor = marked.find('|');
    return at(marked.erase(cursor, 1), cursor);
  }
};

using Choice = Anchored::Choice;

}  // namespace

TEST_CASE("what an editor adds behind the cursor stays out of the prompt, anything else begins a new one") {
  struct Case {
    const char* what;
    const char* before;
    const char* after;
    Choice choice;
    const char* suffix;
  };
  const Case cases[] = {
      {"typing", "int a = |;\nb();\n", "int a = 12|;\nb();\n", Choice::kept, ";\nb();\n"},
      {"a closed bracket", "f|\nb();\n", "f(|)\nb();\n", Choice::kept, "\nb();\n"},
      {"several of them", "f|\nb();\n", "f(g[{|}])\nb();\n", Choice::kept, "\nb();\n"},
      {"a quote", "f(|);\n", "f(\"|\");\n", Choice::kept, ");\n"},
      {"a brace on its own line", "if (a) {|}\nb();\n", "if (a) {\n  |\n}\nb();\n", Choice::kept, "}\nb();\n"},
      {"back to the start", "ab|\n", "|\n", Choice::kept, "\n"},
      {"at the end of the file", "a|", "a(b[|])", Choice::kept, ""},
      {"code behind the end of the file", "a|", "a|\nb();\n", Choice::elsewhere, "\nb();\n"},
      {"a word behind the cursor", "f(|)\n", "f(|x)\n", Choice::elsewhere, "x)\n"},
      {"deleted behind the cursor", "f(|x)\n", "f(|)\n", Choice::elsewhere, ")\n"},
      {"a step to the right", "f(x|)\n", "f(x)|\n", Choice::elsewhere, "\n"},
      {"a jump", "|a();\nb();\n", "a();\nb|();\n", Choice::elsewhere, "();\n"},
      {"edits below", "a|\nb();\n", "a|\nc();\n", Choice::elsewhere, "\nc();\n"},
  };
  for (const Case& one : cases) {
    INFO(one.what);
    Prompts prompts;
    CHECK(prompts.at(one.before).choice == Choice::first);
    const Anchored after = prompts.at(one.after);
    CHECK(after.choice == one.choice);
    CHECK(after.prompt.suffix == one.suffix);
    const std::string text = one.after;
    CHECK(after.prompt.prefix == text.substr(0, text.find('|')));
  }
}

TEST_CASE("a beginning ages when a line that is not shown stands behind the cursor, and a renewed one shows it") {
  Prompts prompts;
  prompts.at("if (a) {|}\nb();\n");
  const std::string text = "if (a) {\n  \n}\nb();\n";
  CHECK(prompts.at(text, 11).aged);
  const Anchored renewed = prompts.at(text, 11, true);
  CHECK(renewed.prompt.suffix == "\n}\nb();\n");
  CHECK(renewed.place == 1);
  const Anchored after = prompts.at("if (a) {\n  c(|)\n}\nb();\n");
  CHECK(after.choice == Choice::kept);
  CHECK(after.place == 1);
  CHECK_FALSE(after.aged);
}

TEST_CASE("there and back again finds both beginnings, wherever the text above has grown") {
  const std::string text = many_lines(60);
  const std::size_t low = text.find("value50"), high = text.find("value10");
  Prompts prompts;
  CHECK(prompts.at(text, low).choice == Choice::first);
  const std::string typed = std::string(text).insert(high, "x = 1;\n    ");
  CHECK(prompts.at(typed, high + 11).choice == Choice::elsewhere);
  CHECK(prompts.at(typed, low + 11).choice == Choice::kept);
  CHECK(prompts.at(typed, high + 11).choice == Choice::kept);
  CHECK(prompts.chosen == 2);
  CHECK(prompts.at(typed, typed.find("value30")).choice == Choice::elsewhere);
}

TEST_CASE("other files' passages stay while the beginning does") {
  Prompts prompts;
  prompts.snippets = {{"b.c", "int b;\n"}};
  CHECK(prompts.at("a|\n").prompt.snippets.size() == 1);
  prompts.snippets.clear();
  CHECK(prompts.at("ab|\n").prompt.snippets.size() == 1);
  CHECK(prompts.chosen == 1);
}

TEST_CASE("typing far slides the window in big steps and never beyond the budget") {
  Prompts prompts;
  prompts.budget = {400, 100, 0};
  std::string text = many_lines(100);
  const std::string below = "done();\n";
  std::size_t slid = 0, aged = 0;
  const std::string typed = many_lines(100);
  for (std::size_t i = 0; i < typed.size(); ++i) {
    text += typed[i];
    const Anchored now = prompts.at(text + below, text.size());
    slid += now.choice == Choice::full ? 1 : 0;
    aged += now.aged ? 1 : 0;
    REQUIRE((now.prompt.prefix.size() + 3) / 4 + (now.prompt.suffix.size() + 3) / 4 <= 400);
    REQUIRE(text.ends_with(now.prompt.prefix));
  }
  // 3,800 bytes are 950 tokens; an eighth of 400 is left free each time.
  CHECK(slid <= 950 / 50 + 1);
  CHECK(slid >= 2);
  CHECK(aged > slid);
}

TEST_CASE("random edits: the prefix is the text in front of the cursor, the suffix stands behind it") {
  std::mt19937 random(3);
  const auto below = [&](std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(random); };
  Prompts prompts;
  prompts.budget = {200, 60, 40};
  std::string text = many_lines(30);
  std::size_t cursor = 100, kept = 0;
  const std::vector<std::string> pieces = {"a", "(", ")", "()", "\n", "{\n  \n}", "\xc3\xa9", ";"};
  for (int round = 0; round < 3000; ++round) {
    if (below(12) == 0) cursor = below(text.size() + 1);
    if (below(3) == 0 && cursor > 0) {
      text.erase(--cursor, 1);
    } else {
      const std::string& piece = pieces[below(pieces.size())];
      text.insert(cursor, piece);
      cursor += below(2) == 0 ? piece.size() : 1;
    }
    const Anchored now = prompts.at(text, cursor);
    kept += now.choice == Choice::kept ? 1 : 0;
    std::size_t end = cursor;
    while (end > 0 && end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
    REQUIRE(now.prompt.prefix.size() <= end);
    REQUIRE(text.compare(end - now.prompt.prefix.size(), now.prompt.prefix.size(), now.prompt.prefix) == 0);
    const std::size_t suffix = text.find(now.prompt.suffix, end);
    REQUIRE(suffix != std::string::npos);
    REQUIRE(text.find_first_not_of(" \t\r\n)]}>\"'`;,", end) >= suffix);
  }
  CHECK(kept > 1500);
}
