// What keys do to a buffer, cursor as "|", as VS Code does it by default.
#include "lsp/commands/typist.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

TEST_CASE("keys") {
  struct Case {
    const char* before;
    std::vector<std::string> keys;
    const char* after;
  };
  const Case cases[] = {
      {"|", {"a", "b"}, "ab|"},
      {"f|\n", {"("}, "f(|)\n"},
      {"f|\n", {"(", "a", ")"}, "f(a)|\n"},
      {"f|x\n", {"("}, "f(|x\n"},
      {"f(|)\n", {")"}, "f()|)\n"},  // this partner was there before
      {"f|\n", {"(", "[", "\""}, "f([\"|\"])\n"},
      {"f|\n", {"(", "\b"}, "f|\n"},
      {"it|\n", {"'"}, "it'|\n"},
      {"if a|\n", {":", "\n"}, "if a:\n  |\n"},
      {"  a|\n", {"\n"}, "  a\n  |\n"},
      {"  a|\n", {" ", "{", "\n"}, "  a {\n    |\n  }\n"},
      {"    |\n", {"\b"}, "  |\n"},
      {"a {\n  |", {"}"}, "a {\n}|"},
      {"\xc3\xa9|", {"\b"}, "|"},
      {"|", {"\b"}, "|"},
      {"|", {"\xc3\xa9"}, "\xc3\xa9|"},
  };
  for (const Case& one : cases) {
    std::string text = one.before;
    const std::size_t cursor = text.find('|');
    text.erase(cursor, 1);
    INFO(one.before);
    lsp::Typist typist(text, "  ");
    typist.jump(cursor);
    for (const std::string& key : one.keys) {
      // The edit that is told turns the old text into the new one.
      const std::string was = typist.text();
      const auto edit = typist.press(key);
      CHECK(std::string(was).replace(edit.start, edit.end - edit.start, edit.text) == typist.text());
    }
    CHECK(std::string(typist.text()).insert(typist.cursor(), "|") == one.after);
  }
}

TEST_CASE("a suggestion is taken with what it replaces, and a jump forgets what was added") {
  lsp::Typist typist("f\n", "  ");
  typist.jump(1);
  typist.press("(");
  typist.take(2, 3, "a, b)");
  CHECK(typist.text() == "f(a, b)\n");
  CHECK(typist.cursor() == 7);
  lsp::Typist other("f\n", "  ");
  other.jump(1);
  other.press("(");
  other.jump(2);
  other.press(")");
  CHECK(other.text() == "f())\n");
}
