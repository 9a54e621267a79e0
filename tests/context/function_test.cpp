// Functions of nine languages at a cursor: name, stub or not, and which bytes the body takes.
#include "context/function.h"

#include <doctest/doctest.h>

#include <string>

#include "tests/context/at_cursor.h"

using context::Language;

namespace {

std::string hole_of(const context::Document& document, const context::Function& function) {
  return document.text().substr(function.code_start, function.body_end - function.code_start);
}

}  // namespace

TEST_CASE("functions and what of them is still to be written") {
  struct Row {
    Language language;
    const char* text;  // the cursor is "^"
    const char* name;  // empty: no function
    bool stub;
    const char* hole;  // from where code starts to the body's end
    const char* body_indent;
  };
  const Row rows[] = {
      {Language::python, "def f(a):\n    ^pass\n", "f", true, "\n    pass", "    "},
      {Language::python, "^def f(a):\n    return a\n", "f", false, "\n    return a", "    "},
      {Language::python, "def f(a):^\n    \"\"\"Adds.\"\"\"\n", "f", true, "", "    "},
      {Language::python, "def f(a):\n    \"\"\"Adds.\"\"\"\n    # how\n    ...^\n\nx = 1\n", "f", true, "\n    ...", "    "},
      {Language::python, "class A:\n  @property\n  def f(self):\n    ^raise NotImplementedError(\"f\")\n", "f", true, "\n    raise NotImplementedError(\"f\")", "    "},
      {Language::python, "def f(a):^\n", "f", true, "", "    "},
      {Language::python, "def f(a):^\n\ndef g(b):\n    return b\n", "f", true, "", "    "},
      {Language::python, "async def f(a):^\n\nx = 1\n", "f", true, "", "    "},
      {Language::python, "def f(a): ^pass\n", "f", true, " pass", "    "},
      {Language::python, "x = ^1\n", "", false, "", ""},
      {Language::c, "static int f(int a) {\n  ^\n}\n", "f", true, "\n  \n", "    "},
      {Language::c, "static int *f(int a) {\n  /* how */\n  ^return 0;\n}\n", "f", false, "\n  return 0;\n", "  "},
      {Language::cpp, "template <typename T>\nT A::f(T a) {^}\n", "A::f", true, "", "    "},
      {Language::cpp, "int f(int a) {\n  throw std::logic_error(\"^not implemented\");\n}\n", "f", true, "\n  throw std::logic_error(\"not implemented\");\n", "  "},
      {Language::javascript, "export function f(a) {^\n  // how\n}\n", "f", true, "\n", "  "},
      {Language::javascript, "const f = (a) => {^};\n", "f", true, "", "  "},
      {Language::typescript, "class A {\n  f(a: number): number {^\n    throw new Error('not implemented');\n  }\n}\n", "f", true, "\n    throw new Error('not implemented');\n  ", "    "},
      {Language::tsx, "function f() {^ return <b/>; }\n", "f", false, " return <b/>; ", "  "},
      {Language::rust, "#[inline]\npub fn f(a: u8) -> u8 {\n    ^todo!()\n}\n", "f", true, "\n    todo!()\n", "    "},
      {Language::go, "func (a *A) f(b int) int {\n\t^panic(\"not implemented\")\n}\n", "f", true, "\n\tpanic(\"not implemented\")\n", "\t"},
      {Language::java, "class A {\n    int f(int a) {^\n        throw new UnsupportedOperationException();\n    }\n}\n", "f", true, "\n        throw new UnsupportedOperationException();\n    ", "        "},
  };
  for (const Row& row : rows) {
    CAPTURE(row.text);
    const tests::AtCursor at(row.language, row.text);
    const auto function = context::function_at(at.document, *at.tree, at.offset);
    REQUIRE(function.has_value() == (*row.name != '\0'));
    if (!function) continue;
    CHECK(function->name == row.name);
    CHECK(function->stub == row.stub);
    CHECK(hole_of(at.document, *function) == row.hole);
    CHECK(function->body_indent == row.body_indent);
  }
}

TEST_CASE("where a definition starts, whether it is documented, its type and its parameters") {
  struct Row {
    Language language;
    const char* text;  // the definition starts at "^"
    bool documented;
    const char* type;
    const char* parameters;  // blank-separated
  };
  const Row rows[] = {
      {Language::python, "x = 1\n^@wraps(g)\ndef f(a, b=1, *c, d: int = 2, **e):\n    return a\n", false, "", "a b c d e"},
      {Language::python, "class A:\n    ^def f(self, a):\n        \"\"\"Says.\"\"\"\n        return a\n", true, "A", "a"},
      {Language::c, "/* Adds. */\n^int f(int a, char *b, struct s *c) { return a; }\n", true, "", "a b c"},
      {Language::c, "/* About something else. */\n\n^int f(void) { return 1; }\n", false, "", ""},
      {Language::cpp, "struct A {\n  ^void f(const int& a) {}\n};\n", false, "A", "a"},
      {Language::typescript, "/** Adds. */\n^export function f(a: number, b?: string, ...c: number[]) { return a; }\n", true, "", "a b c"},
      {Language::rust, "impl A {\n    /// Adds.\n    ^#[inline]\n    fn f(&self, mut a: u8, b: &str) {}\n}\n", true, "A", "a b"},
      {Language::go, "// f adds.\n^func f(a, b int) int { return a }\n", true, "", "a"},
      {Language::java, "class A {\n  ^@Override\n  public int f(int a) { return a; }\n}\n", false, "A", "a"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.text);
    const tests::AtCursor at(row.language, row.text);
    const auto function = context::function_at(at.document, *at.tree, at.document.text().find(" f(") + 1);
    REQUIRE(function);
    CHECK(function->start == at.offset);
    CHECK(function->documented == row.documented);
    CHECK(function->type == row.type);
    std::string parameters;
    for (const std::string& name : function->parameters) parameters += (parameters.empty() ? "" : " ") + name;
    CHECK(parameters == row.parameters);
  }
}

TEST_CASE("the innermost function counts, and all are listed in order") {
  const tests::AtCursor at(Language::python, "def f():\n    def g():\n        ^pass\n    return g\n\n\ndef h(): pass\n");
  CHECK(context::function_at(at.document, *at.tree, at.offset)->name == "g");
  CHECK(context::function_at(at.document, *at.tree, at.document.text().find("return"))->name == "f");
  std::string names;
  for (const auto& function : context::functions_of(at.document, *at.tree)) names += function.name;
  CHECK(names == "fgh");
}

TEST_CASE("texts that no grammar knows give no function, and none crashes") {
  const std::string deep(50'000, '(');
  for (const std::string& text : {std::string("def :\n"), std::string("def (a):"), deep, "def f" + deep, std::string("\xff\xfe def f():")}) {
    for (const Language language : {Language::python, Language::cpp, Language::rust}) {
      const context::Document document(text, 1);
      const auto tree = context::parse(language, text);
      for (const std::size_t offset : {std::size_t{0}, text.size() / 2, text.size(), text.size() + 9}) {
        const auto function = context::function_at(document, *tree, offset);
        if (function) CHECK(function->code_start <= function->body_end);
      }
    }
  }
}
