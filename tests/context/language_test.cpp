// Maps what editors call a language, and file names, to the languages loopd parses.
#include "context/language.h"

#include <doctest/doctest.h>

#include <string>

using namespace context;
using L = Language;

TEST_CASE("languages of buffers") {
  struct Row {
    const char* id;
    const char* path;
    Language expected;
  };
  const Row rows[] = {
      {"python", "", L::python},
      {"c++", "", L::cpp},
      {"cpp", "", L::cpp},
      {"C++", "x.py", L::cpp},
      {"javascriptreact", "", L::javascript},
      {"typescriptreact", "", L::tsx},
      {"", "file:///a/b.rs", L::rust},
      {"", "file:///a/b.tsx?x=1.py", L::tsx},
      {"", "C:\\a\\B.PY", L::python},
      {"plaintext", "a.go", L::go},
      {"", "a.d.ts", L::typescript},
      {"", "dir.py/README", L::none},
      {"", "", L::none},
      {"markdown", "a.md", L::none},
      {"", "a.h", L::c},
      {"", "a.cuh", L::cpp},
      {"java", "a.txt", L::java},
  };
  for (const Row& row : rows) {
    INFO(std::string(row.id), " ", std::string(row.path));
    CHECK(std::string(name(detect_language(row.id, row.path))) == std::string(name(row.expected)));
  }
  CHECK(line_comment(L::python) == "#");
  CHECK(line_comment(L::go) == "//");
  CHECK(line_comment(L::none).empty());
}
