// Modules: what is planned for a language, what the files hold, and that one that does not parse lets none out.
#include "lsp/actions/module.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <string>

#include "lsp/files.h"
#include "lsp/actions/module_parts.h"
#include "lsp/actions/module_plan.h"
#include "tests/lsp/fake_model.h"

using context::Language;

namespace {

std::map<std::string, std::string> texts(const lsp::ActionResult& result) {
  std::map<std::string, std::string> files;
  for (const auto& file : result.changes) files[file.file] = file.changes.front().text;
  return files;
}

// Writes a function of a new name wherever one is wanted, and calls it in tests.
std::string body(const std::string& prefix, const std::string& rest) {
  static int number = 0;
  if (prefix.ends_with("self")) return "):\n        self.items = []\n";
  if (prefix.ends_with("(")) return "1), 1)\n";
  if (prefix.ends_with(" ") || prefix.ends_with("_") || prefix.ends_with("Count")) return "f" + std::to_string(++number) + rest;
  return "return 1;\n";
}

}  // namespace

TEST_CASE("plans follow the language, and names are identifiers") {
  struct Row {
    Language language;
    const char* files;
  };
  const Row rows[] = {
      {Language::python, "word_count.py __init__.py test_word_count.py README.md "},
      {Language::c, "word_count.c word_count.h test_word_count.c CMakeLists.txt "},
      {Language::cpp, "word_count.cpp word_count.h test_word_count.cpp CMakeLists.txt "},
      {Language::typescript, "word_count.ts index.ts word_count.test.ts package.json "},
      {Language::javascript, "word_count.js index.js word_count.test.js package.json "},
      {Language::rust, "src/word_count.rs src/lib.rs tests/word_count_test.rs Cargo.toml "},
      {Language::go, "word_count.go word_count_test.go go.mod README.md "},
      {Language::java, ""},
  };
  for (const Row& row : rows) {
    std::string files;
    for (const auto& file : lsp::plan_module(lsp::module_subject("/w/Word-Count", "", row.language))) files += file.path + " ";
    CHECK(files == row.files);
    CHECK(lsp::can_plan_module(row.language) == (*row.files != '\0'));
  }
  CHECK(lsp::module_subject("/w/shop/src", "", Language::python).name == "shop");
  CHECK(lsp::module_subject("/w/3d", "", Language::python).name == "m3d");
  CHECK(lsp::module_subject("/", "", Language::python).name == "module");
  CHECK(lsp::module_subject("/w/word_count", "", Language::python).about == "Word count.");
}

TEST_CASE("headers, indexes and imports follow from the code") {
  const auto cpp = lsp::module_subject("/w/shop", "Sells.", Language::cpp);
  const std::string code = lsp::code_file(cpp, "std::vector<int> prices(const std::string& item) {\n  return {1};\n}\n\nstatic int hidden() { return 1; }");
  CHECK(code.find("#include <string>\n#include <vector>\n") != std::string::npos);
  const std::string header = lsp::plain_file(cpp, lsp::PlannedFile::Role::header, code);
  CHECK(header.find("std::vector<int> prices(const std::string& item);\n") != std::string::npos);
  CHECK(header.find("hidden") == std::string::npos);
  const auto python = lsp::module_subject("/w/shop", "Sells.", Language::python);
  const std::string module = lsp::code_file(python, "class Shop:\n    pass\n\n\ndef sell(a):\n    return os.path.join(a)\n\n\ndef _hidden():\n    pass");
  CHECK(module.find("import os\n") != std::string::npos);
  CHECK(lsp::plain_file(python, lsp::PlannedFile::Role::index, module).find("from .shop import Shop, sell\n") != std::string::npos);
}

TEST_CASE("a module is all its files, each of which parses") {
  struct Row {
    Language language;
    const char* rest;  // of a function behind its name
    std::size_t files;
  };
  const Row rows[] = {
      {Language::python, "(a):\n    return a\n", 4},
      {Language::typescript, "(a: number): number {\n", 4},
      {Language::javascript, "(a) {\n", 4},
      {Language::rust, "(a: u8) -> u8 {\n", 4},
      {Language::c, "(int a) {\n", 4},
      {Language::cpp, "(int a) {\n", 4},
      {Language::go, "(a int) int {\n", 4},
  };
  for (const Row& row : rows) {
    CAPTURE(std::string(context::name(row.language)));
    tests::FakeModel model;
    model.says = [&](const std::string& prefix, const std::string&) { return body(prefix, row.rest); };
    lsp::ModuleRequest request;
    request.folder = "/nowhere/word_count/";
    request.language = row.language;
    const auto result = lsp::generate_module(model.port(), request, {});
    CAPTURE(result.explain.empty() ? "" : result.explain.back());
    CHECK(result.changes.size() == row.files);
    for (const auto& one : texts(result)) {
      const std::string& file = one.first;
      const std::string& text = one.second;
      CAPTURE(file);
      CHECK(file.rfind("/nowhere/word_count/", 0) == 0);
      const Language own = context::detect_language("", file);  // a header may be C or C++
      CHECK(lsp::errors_with(own == Language::c ? row.language : own, text, 0, 0, "") == 0);
    }
    CHECK(std::all_of(result.changes.begin(), result.changes.end(), [](const auto& file) { return file.create; }));
  }
}

TEST_CASE("nothing is let out where the model writes nonsense, or the code's file is there") {
  tests::FakeModel model;
  model.says = [](const std::string&, const std::string&) { return ")))\n"; };
  lsp::ModuleRequest request;
  request.folder = "/nowhere/word_count";
  request.language = Language::python;
  CHECK(lsp::generate_module(model.port(), request, {}).changes.empty());
  model.prefixes.clear();
  request.read_file = [](const std::string& file) { return file.ends_with("word_count.py") ? std::optional<std::string>("x = 1\n") : std::nullopt; };
  const auto refused = lsp::generate_module(model.port(), request, {});
  CHECK(refused.changes.empty());
  CHECK(refused.explain.back().find("nothing is overwritten") != std::string::npos);
  CHECK(model.prefixes.empty());
}

TEST_CASE("stopping ends a module within one call of the model") {
  tests::FakeModel model;
  std::stop_source stop;
  model.says = [](const std::string&, const std::string&) { return "f():\n    pass\n"; };
  model.during = [&](std::stop_token) { stop.request_stop(); };
  lsp::ModuleRequest request;
  request.folder = "/nowhere/word_count";
  request.language = Language::python;
  const auto result = lsp::generate_module(model.port(), request, stop.get_token());
  CHECK(result.cancelled);
  CHECK(result.changes.empty());
  CHECK(model.prefixes.size() == 1);
}

TEST_CASE("URIs of paths") {
  CHECK(lsp::uri_of("/w/a b/ü.py") == "file:///w/a%20b/%C3%BC.py");
  CHECK(lsp::uri_of("/w/a-b_c.~d") == "file:///w/a-b_c.~d");
}
