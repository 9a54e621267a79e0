// Classifies cursors in nine languages, most of them in code that is half typed.
#include "context/cursor.h"

#include <doctest/doctest.h>

#include <chrono>
#include <string>
#include <vector>

#include "context/syntax.h"
#include "tests/context/at_cursor.h"

using namespace context;
using tests::AtCursor;
using L = Language;
using C = SyntaxClass;

namespace {

struct Row {
  int line;  // of this file, for the failure message
  Language language;
  const char* text;  // the cursor is "^"
  SyntaxClass expected;
  bool single_line;
  bool header = false;
};

constexpr bool one = true, many = false, header = true;

const std::vector<Row> rows{
#define ROW(...) Row{__LINE__, __VA_ARGS__}
    // Python: top level
    ROW(L::python, "^", C::module, many),
    ROW(L::python, "\n\n^\n", C::module, many),
    ROW(L::python, "import os\n\n^", C::module, many),
    ROW(L::python, "import os\n\n^\n\ndef f():\n    pass\n", C::module, many),
    ROW(L::python, "def f():\n    return 1\n\n\n^", C::module, many),
    ROW(L::python, "x = (1,\n     2)\n^", C::module, many),
    // Python: bodies
    ROW(L::python, "def f(a, b):\n    ^", C::function, many),
    ROW(L::python, "def f(a, b):\n    ^\n", C::function, many),
    ROW(L::python, "def f(a, b):\n    ^\n\ndef g():\n    pass\n", C::function, many),
    ROW(L::python, "def f(a, b):^", C::function, many),
    ROW(L::python, "def f(a, b) -> int:\n    ^", C::function, many),
    ROW(L::python, "def f(a):\n    x = 1\n    ^\n    return x\n", C::function, many),
    ROW(L::python, "def f(a):\n    x = 1\n\n    ^", C::function, many),
    ROW(L::python, "class A:\n    ^", C::function, many),
    ROW(L::python, "class A:\n    def f(self):\n        ^", C::function, many),
    ROW(L::python, "class A:\n    def f(self):\n        pass\n\n    ^", C::function, many),
    ROW(L::python, "if x:\n    ^", C::function, many),
    ROW(L::python, "if x:^", C::function, many),
    ROW(L::python, "for i in range(3):\n    print(i)\n    ^", C::function, many),
    ROW(L::python, "try:\n    ^", C::function, many),
    ROW(L::python, "def f():\n    if x:\n        y()\n    else:\n        ^", C::function, many),
    ROW(L::python, "def f():\n    with open(p) as h:\n        ^\n", C::function, many),
    ROW(L::python, "def f():\n    ^x = 1\n", C::function, one),
    ROW(L::python, "async def f():\n    async with g() as h:\n        ^", C::function, many),
    // Python: statements under way
    ROW(L::python, "x = ^", C::function, many),
    ROW(L::python, "def f():\n    x = ^", C::function, many),
    ROW(L::python, "def f():\n    return ^", C::function, many),
    ROW(L::python, "def f():\n    return ^\n\ndef g():\n    pass\n", C::function, many),
    ROW(L::python, "def f():\n    if ^", C::function, one),
    ROW(L::python, "def f():\n    for x in ^", C::function, one),
    ROW(L::python, "def f():\n    while a and ^", C::function, one),
    ROW(L::python, "def f():\n    x = a + ^", C::function, many),
    ROW(L::python, "def f():\n    x = [^", C::function, many),
    ROW(L::python, "def f():\n    x = {\n        ^", C::function, many),
    // Python: names, members, arguments
    ROW(L::python, "pri^", C::identifier, one),
    ROW(L::python, "def f():\n    pri^", C::identifier, one),
    ROW(L::python, "def f():\n    self.^", C::identifier, one),
    ROW(L::python, "def f():\n    self.^\n    return 1\n", C::identifier, one),
    ROW(L::python, "def f():\n    x = os.path.jo^", C::identifier, one),
    ROW(L::python, "def f():\n    foo(^", C::identifier, one),
    ROW(L::python, "def f():\n    foo(^)", C::identifier, one),
    ROW(L::python, "def f():\n    foo(a, ^)\n", C::identifier, one),
    ROW(L::python, "foo(\n    a,\n    ^", C::identifier, one),
    ROW(L::python, "foo(\n    a,\n    ^\n)\n", C::identifier, one),
    ROW(L::python, "foo(a, key=^", C::identifier, one),
    ROW(L::python, "d[^", C::identifier, one),
    ROW(L::python, "return_value^", C::identifier, one),
    ROW(L::python, "x: ^", C::identifier, one),
    ROW(L::python, "import ^", C::identifier, one),
    ROW(L::python, "from os import ^", C::identifier, one),
    ROW(L::python, "from os.^", C::identifier, one),
    ROW(L::python, "from os import (\n    path,\n    ^", C::identifier, one),
    ROW(L::python, "@^", C::identifier, one),
    ROW(L::python, "@app.ro^\ndef f():\n    pass\n", C::identifier, one),
    ROW(L::python, "@app.route(^", C::identifier, one),
    // Python: definition headers
    ROW(L::python, "def ^", C::identifier, one, header),
    ROW(L::python, "def pars^", C::identifier, one, header),
    ROW(L::python, "def parse(^", C::identifier, one, header),
    ROW(L::python, "def parse(a, b^):\n    pass\n", C::identifier, one, header),
    ROW(L::python, "def parse(\n    a,\n    ^", C::identifier, one, header),
    ROW(L::python, "def parse(a) -> ^", C::identifier, one, header),
    ROW(L::python, "class ^", C::identifier, one, header),
    ROW(L::python, "class A(^", C::identifier, one, header),
    ROW(L::python, "class A:\n    async def ^", C::identifier, one, header),
    // Python: comments and strings
    ROW(L::python, "# a comment^", C::none, one),
    ROW(L::python, "x = 1  # why ^\ny = 2\n", C::none, one),
    ROW(L::python, "x = \"abc^\"", C::none, one),
    ROW(L::python, "x = \"abc^", C::none, one),
    ROW(L::python, "x = \"abc^\ny = 1\n", C::none, one),
    ROW(L::python, "foo('^')", C::none, one),
    ROW(L::python, "def f():\n    \"\"\"Says ^\n    \"\"\"\n", C::none, one),
    ROW(L::python, "def f():\n    \"\"\"Says\n    more^", C::none, one),
    ROW(L::python, "def f():\n    \"\"\"Says.\"\"\"\n    ^", C::function, many),
    ROW(L::python, "x = f\"a {^}\"", C::identifier, one),
    ROW(L::python, "x = f\"a {b.^}\"", C::identifier, one),
    ROW(L::python, "x = f\"a {b.^", C::identifier, one),
    ROW(L::python, "x = f\"a {b} c^\"", C::none, one),
    ROW(L::python, "x = f\"a {b} c^", C::none, one),
    ROW(L::python, "x = \"a {b^\"", C::none, one),
    // Python: a fault above does not reach down here
    ROW(L::python, "foo(\n\ndef g():\n    ^", C::function, many),
    ROW(L::python, "x = \"abc\n\ndef g():\n    return ^", C::function, many),
    ROW(L::python, "def f(:\n    pass\n\ndef g():\n    ^\n", C::function, many),
    ROW(L::python, "y = [1, 2\n\nimport ^", C::identifier, one),
    // JavaScript
    ROW(L::javascript, "^", C::module, many),
    ROW(L::javascript, "const a = 1;\n^", C::module, many),
    ROW(L::javascript, "const a = 1;^", C::module, many),
    ROW(L::javascript, "function f() {\n  ^\n}\n", C::function, many),
    ROW(L::javascript, "function f() {\n  ^", C::function, many),
    ROW(L::javascript, "function f() {^", C::function, many),
    ROW(L::javascript, "function f() {^}", C::function, many),
    ROW(L::javascript, "const f = (a) => {\n  ^\n};\n", C::function, many),
    ROW(L::javascript, "items.map((x) => {\n  ^\n});\n", C::function, many),
    ROW(L::javascript, "items.map((x) => ^)", C::identifier, one),
    ROW(L::javascript, "items.map(^)", C::identifier, one),
    ROW(L::javascript, "const a = {\n  ^\n};\n", C::function, many),
    ROW(L::javascript, "const a = ^", C::function, many),
    ROW(L::javascript, "function f() {\n  return ^\n}\n", C::function, many),
    ROW(L::javascript, "function f() {\n  if (^)\n}\n", C::function, one),
    ROW(L::javascript, "function f() {\n  if (a.^)\n}\n", C::identifier, one),
    ROW(L::javascript, "import { ^ } from './a';\n", C::identifier, one),
    ROW(L::javascript, "import {\n  a,\n  ^\n} from './a';\n", C::identifier, one),
    ROW(L::javascript, "import a from '^'", C::identifier, one),
    ROW(L::javascript, "function ^", C::identifier, one, header),
    ROW(L::javascript, "export async function load(^", C::identifier, one, header),
    ROW(L::javascript, "class A extends ^", C::identifier, one, header),
    ROW(L::javascript, "class A {\n  ^\n}\n", C::function, many),
    ROW(L::javascript, "class A {\n  render(^) {\n  }\n}\n", C::identifier, one, header),
    ROW(L::javascript, "const a = `x ${^}`;", C::identifier, one),
    ROW(L::javascript, "const a = `x ${b.^", C::identifier, one),
    ROW(L::javascript, "const a = `x ^", C::none, one),
    ROW(L::javascript, "const a = `x ${b} ^`;", C::none, one),
    ROW(L::javascript, "// why ^", C::none, one),
    ROW(L::javascript, "/* why\n * and ^", C::none, one),
    ROW(L::javascript, "const a = 'it^", C::none, one),
    ROW(L::javascript, "const r = /['\"]/;\nfoo(^", C::identifier, one),
    ROW(L::javascript, "const a = b?.^", C::identifier, one),
    ROW(L::javascript, "const a = new ^", C::identifier, one),
    // TypeScript and TSX
    ROW(L::typescript, "interface A {\n  ^\n}\n", C::function, many),
    ROW(L::typescript, "interface ^", C::identifier, one, header),
    ROW(L::typescript, "let x: ^", C::identifier, one),
    ROW(L::typescript, "function f(a: ^", C::identifier, one, header),
    ROW(L::typescript, "function f(a: number): string {\n  ^\n}\n", C::function, many),
    ROW(L::typescript, "namespace N {\n  ^\n}\n", C::module, many),
    ROW(L::typescript, "export const a = async (b: string): Promise<void> => {\n  ^\n}", C::function, many),
    ROW(L::typescript, "type A = ^", C::function, many),
    ROW(L::typescript, "enum E { A, ^ }", C::function, one),
    ROW(L::tsx, "const a = <div>don't {x.^}</div>;\n", C::identifier, one),
    ROW(L::tsx, "function A() {\n  return <B onClick={^}/>;\n}\n", C::function, one),
    ROW(L::tsx, "function A() {\n  ^\n}\n", C::function, many),
    // C
    ROW(L::c, "^", C::module, many),
    ROW(L::c, "#include <^", C::identifier, one),
    ROW(L::c, "#include \"a^\"\n", C::identifier, one),
    ROW(L::c, "#define ^", C::identifier, one),
    ROW(L::c, "int main(void) {\n  ^\n}\n", C::function, many),
    ROW(L::c, "int main(void)\n{\n  ^\n}\n", C::function, many),
    ROW(L::c, "int main(void) {\n  for (int i^", C::identifier, one),
    ROW(L::c, "int main(void) {\n  for (int i = 0; ^", C::function, one),
    ROW(L::c, "int main(void) {\n  p->^\n}\n", C::identifier, one),
    ROW(L::c, "int main(void) {\n  printf(^\n}\n", C::identifier, one),
    ROW(L::c, "int main(void) {\n  printf(\"%d^\n}\n", C::none, one),
    ROW(L::c, "int main(void) {\n  return ^\n}\n", C::function, many),
    ROW(L::c, "int main(void) {\n  switch (x) {\n    case 1: ^\n  }\n}\n", C::function, many),
    ROW(L::c, "static int ^", C::identifier, one, header),
    ROW(L::c, "static int parse(^", C::identifier, one, header),
    ROW(L::c, "static int parse(const char *s, ^", C::identifier, one, header),
    ROW(L::c, "struct a {\n  int b;\n  ^\n};\n", C::function, many),
    ROW(L::c, "int a[] = {1, ^", C::function, many),
    ROW(L::c, "int x = 1;\n\n^\n\nint main(void) {\n}\n", C::module, many),
    ROW(L::c, "/* why ^ */\n", C::none, one),
    // C++
    ROW(L::cpp, "namespace a {\n\n^\n\n}\n", C::module, many),
    ROW(L::cpp, "namespace a {\nvoid f() {\n  ^\n}\n}\n", C::function, many),
    ROW(L::cpp, "std::^", C::identifier, one),
    ROW(L::cpp, "void f() {\n  std::vec^\n}\n", C::identifier, one),
    ROW(L::cpp, "void f() {\n  auto g = [&](int a) {\n    ^\n  };\n}\n", C::function, many),
    ROW(L::cpp, "void f() {\n  for (const auto& a : ^\n}\n", C::function, one),
    ROW(L::cpp, "class A {\n public:\n  ^\n};\n", C::function, many),
    ROW(L::cpp, "class A {\n public:\n  explicit A(^\n};\n", C::identifier, one, header),
    ROW(L::cpp, "std::vector<int> find(^", C::identifier, one, header),
    ROW(L::cpp, "template <typename T>\nT max(T a, ^", C::identifier, one, header),
    ROW(L::cpp, "void f() {\n  auto x = R\"(a \" b^", C::none, one),
    ROW(L::cpp, "void f() {\n  int x = 1'000;\n  ^\n}\n", C::function, many),
    ROW(L::cpp, "void f() {\n  if (a) {\n    b();\n  } else {\n    ^\n  }\n}\n", C::function, many),
    ROW(L::cpp, "using ^", C::identifier, one),
    // Rust
    ROW(L::rust, "^", C::module, many),
    ROW(L::rust, "use std::^", C::identifier, one),
    ROW(L::rust, "use std::{io, ^};\n", C::identifier, one),
    ROW(L::rust, "fn main() {\n    ^\n}\n", C::function, many),
    ROW(L::rust, "fn main() {\n    let x = ^\n}\n", C::function, many),
    ROW(L::rust, "fn main() {\n    let x = foo(^\n}\n\nfn b() {}\n", C::identifier, one),
    ROW(L::rust, "fn main() {\n    println!(^", C::identifier, one),
    ROW(L::rust, "fn main() {\n    println!(\"a^", C::none, one),
    ROW(L::rust, "fn a<'a>(x: &'a str) -> &'a str {\n    ^\n}\n", C::function, many),
    ROW(L::rust, "fn main() {\n    let c = '\"';\n    ^\n}\n", C::function, many),
    ROW(L::rust, "fn main() {\n    match x {\n        ^\n    }\n}\n", C::function, many),
    ROW(L::rust, "impl A {\n    ^\n}\n", C::function, many),
    ROW(L::rust, "impl A {\n    pub fn new(^\n}\n", C::identifier, one, header),
    ROW(L::rust, "pub async fn ^", C::identifier, one, header),
    ROW(L::rust, "mod tests {\n    ^\n}\n", C::module, many),
    ROW(L::rust, "#[derive(^)]\nstruct A;\n", C::identifier, one),
    ROW(L::rust, "/// Says ^\nfn a() {}\n", C::none, one),
    ROW(L::rust, "/// Says.\n^fn a() {}\n", C::module, one),
    ROW(L::rust, "fn main() {\n    self.^\n}\n", C::identifier, one),
    // Go
    ROW(L::go, "package ^", C::identifier, one),
    ROW(L::go, "package a\n\n^", C::module, many),
    ROW(L::go, "package a\n\nimport (\n\t\"fmt\"\n\t^\n)\n", C::identifier, one),
    ROW(L::go, "package a\n\nfunc f() {\n\t^\n}\n", C::function, many),
    ROW(L::go, "package a\n\nfunc f() {\n\tif err != nil {\n\t\t^\n\t}\n}\n", C::function, many),
    ROW(L::go, "package a\n\nfunc f() {\n\tx := ^\n}\n", C::function, many),
    ROW(L::go, "package a\n\nfunc f() {\n\tfmt.^\n}\n", C::identifier, one),
    ROW(L::go, "package a\n\nfunc f() {\n\tfmt.Println(^\n}\n", C::identifier, one),
    ROW(L::go, "package a\n\nfunc f() {\n\tx := `abc^", C::none, one),
    ROW(L::go, "package a\n\nfunc (s *T) Do(^", C::identifier, one, header),
    ROW(L::go, "package a\n\ntype T struct {\n\t^\n}\n", C::function, many),
    ROW(L::go, "package a\n\ntype ^", C::identifier, one, header),
    ROW(L::go, "package a\n\nfunc f() {\n\tgo func() {\n\t\t^\n\t}()\n}\n", C::function, many),
    // Java
    ROW(L::java, "^", C::module, many),
    ROW(L::java, "import java.^", C::identifier, one),
    ROW(L::java, "package a;\n\n^", C::module, many),
    ROW(L::java, "class A {\n  ^\n}\n", C::function, many),
    ROW(L::java, "class A {\n  void f() {\n    ^\n  }\n}\n", C::function, many),
    ROW(L::java, "class A {\n  void f() {\n    String s = \"abc^;\n  }\n}\n", C::none, one),
    ROW(L::java, "class A {\n  void f() {\n    this.^\n  }\n}\n", C::identifier, one),
    ROW(L::java, "class A {\n  void f() {\n    foo(a, ^\n  }\n}\n", C::identifier, one),
    ROW(L::java, "class A {\n  @Over^\n  void f() {}\n}\n", C::identifier, one),
    ROW(L::java, "class A {\n  public static void main(^\n}\n", C::identifier, one, header),
    ROW(L::java, "class A {\n  private final Map<String, Integer> find(^\n}\n", C::identifier, one, header),
    ROW(L::java, "public class A implements ^", C::identifier, one, header),
    ROW(L::java, "class A {\n  void f() {\n    for (String s : ^\n  }\n}\n", C::function, one),
    ROW(L::java, "class A {\n  void f() {\n    List<String> a = new ^\n  }\n}\n", C::identifier, one),
    // Plain text
    ROW(L::none, "^", C::module, many),
    ROW(L::none, "one\n  two\n  ^", C::function, many),
    ROW(L::none, "one\ntwo\n^", C::module, many),
    ROW(L::none, "one tw^", C::identifier, one),
#undef ROW
};

}  // namespace

TEST_CASE("classes of cursors in nine languages") {
  CHECK(rows.size() >= 120);
  for (const Row& row : rows) {
    const AtCursor at(row.language, row.text);
    const Cursor cursor = classify(at.document, at.tree.get(), at.offset);
    INFO("row at line ", row.line, " (", std::string(name(row.language)), "):\n", std::string(row.text), "\nwhy: ", cursor.why);
    CHECK(std::string(name(cursor.syntax_class)) == std::string(name(row.expected)));
    CHECK(cursor.single_line == row.single_line);
    CHECK(cursor.definition_header == row.header);
    CHECK(!cursor.why.empty());
    if (row.expected == C::none) {
      CHECK((cursor.in_comment || cursor.in_string));
    }
  }
}

TEST_CASE("every offset of every row classifies to something sane") {
  for (const Row& row : rows) {
    const AtCursor at(row.language, row.text);
    for (std::size_t offset = 0; offset <= at.document.text().size() + 1; ++offset) {
      const Cursor cursor = classify(at.document, at.tree.get(), offset);
      CHECK(cursor.scope_start <= std::min(offset, at.document.text().size()));
      CHECK(cursor.scope_end >= std::min(offset, at.document.text().size()));
      CHECK(cursor.scope_end <= at.document.text().size());
    }
  }
}

TEST_CASE("the scope is the enclosing body with its header line") {
  struct Scope {
    Language language;
    const char* text;
    const char* expected;
  };
  const Scope scopes[] = {
      {L::python, "a = 1\ndef f():\n    x\n    ^\n\ndef g():\n    pass\n", "def f():\n    x\n    \n\n"},
      {L::python, "class A:\n    def f(self):\n        ^\n    def g(self):\n        pass\n", "    def f(self):\n        \n"},
      {L::c, "int a;\nint f(void) {\n  ^\n}\nint b;\n", "int f(void) {\n  \n}"},
      {L::c, "int a;\nint f(void) {\n  g(^\n}\nint b;\n", "int f(void) {\n  g(\n}"},
      {L::go, "package a\nvar ^", "package a\nvar "},
  };
  for (const Scope& scope : scopes) {
    const AtCursor at(scope.language, scope.text);
    const Cursor cursor = classify(at.document, at.tree.get(), at.offset);
    CHECK(at.document.text().substr(cursor.scope_start, cursor.scope_end - cursor.scope_start) == scope.expected);
  }
}

TEST_CASE("classifying takes well under a millisecond in a file of 2,000 lines") {
  std::string text;
  for (int i = 0; i < 400; ++i) {
    text += "def function_" + std::to_string(i) + "(a, b):\n    for i in range(10):\n        a = call(a, \"x\", i)\n"
            "    return a + b\n\n";
  }
  text += "def last():\n    x = foo(";
  const Document document(text, 1);
  const auto tree = parse(L::python, text);
  const auto start = std::chrono::steady_clock::now();
  constexpr int rounds = 50;
  for (int i = 0; i < rounds; ++i) {
    CHECK(classify(document, tree.get(), text.size()).syntax_class == C::identifier);
  }
  const std::chrono::duration<double, std::milli> taken = std::chrono::steady_clock::now() - start;
  MESSAGE("classify in ", document.line_count(), " lines: ", taken.count() / rounds, " ms");
#if defined(NDEBUG)
  CHECK(taken.count() / rounds < 1.0);
#endif
}
