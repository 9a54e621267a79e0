// The language's own tool as a judge, with real tools where they are installed.
#include "lsp/actions/external_check.h"

#include <doctest/doctest.h>

#include <chrono>
#include <string>

using context::Language;

TEST_CASE("the tool's complaint is one line, and sound text has none") {
  struct Row {
    Language language;
    const char* sound;
    const char* wrong;
  };
  const Row rows[] = {
      {Language::python, "def f(a):\n    return a\n", "def f(a):\n    return a\nreturn 1\n"},  // tree-sitter has no objection
      {Language::c, "int f(int a) { return a; }\n", "int f(int a) { return b; }\n"},
      {Language::cpp, "int f(int a) { return a; }\n", "int f(int a) { return b; }\n"},
      {Language::javascript, "export const a = 1;\n", "const a = 1; const a = 2;\n"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.wrong);
    CHECK(lsp::external_complaint(row.language, row.sound) == "");
    const std::string said = lsp::external_complaint(row.language, row.wrong);
    CHECK(said != "");
    CHECK(said.find('\n') == std::string::npos);
  }
  CHECK_FALSE(lsp::can_check_externally(Language::rust));
  CHECK(lsp::external_complaint(Language::rust, "fn f( {") == "");
}

TEST_CASE("a tool that takes too long says nothing, and is ended") {
  // The preprocessor doubles this text forty times.
  std::string slow = "#define A0 1+1\n";
  for (int i = 1; i < 40; ++i) slow += "#define A" + std::to_string(i) + " A" + std::to_string(i - 1) + "+A" + std::to_string(i - 1) + "\n";
  const auto started = std::chrono::steady_clock::now();
  CHECK(lsp::external_complaint(Language::c, slow + "int a = A39;\n", std::chrono::milliseconds(300)) == "");
  CHECK(std::chrono::steady_clock::now() - started < std::chrono::seconds(5));
}

TEST_CASE("what the tool said before does not count against new text") {
  const std::string before = "#include \"nowhere.h\"\nint f(void);\n";
  const auto check = lsp::external_check(Language::c, before);
  const std::string after = before + "int g(void) { return 1; }\n";
  CHECK(check(after, before.size(), after.size()) == "");
  const auto strict = lsp::external_check(Language::c, "int f(void);\n");
  CHECK(strict("int f(void) { return b; }\n", 0, 1) != "");
}
