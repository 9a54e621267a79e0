// Lets the parser judge insertions, sound and faulty, and names the steps they consist of.
#include "context/check.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "tests/context/at_cursor.h"

using namespace context;
using tests::AtCursor;
using L = Language;

namespace {

struct Row {
  int line;
  Language language;
  const char* text;       // the cursor is "^"
  const char* insertion;  // "^" marks the fault, where there is one
  std::size_t replaced = 0;
};

const std::vector<Row> rows{
#define ROW(...) Row{__LINE__, __VA_ARGS__}
    // Sound: the line was unfinished, and some of it may stay so
    ROW(L::python, "x = foo(^", "a, b)"),
    ROW(L::python, "x = foo(^", "a, b"),
    ROW(L::python, "x = foo(^)\n", "a, [b])", 1),
    ROW(L::python, "def f():\n    return ^", "a + b"),
    ROW(L::python, "def f():\n    ^\n\ny = 1\n", "for a in b:\n        c(a)"),
    ROW(L::python, "def parse(^", "text):"),
    ROW(L::python, "def parse(^", "text, encoding=None) -> str:"),
    ROW(L::python, "if ^", "a and b:"),
    ROW(L::python, "def f():\n    ^", "try:\n        x()"),
    ROW(L::python, "@^\ndef f():\n    pass\n", "cached"),
    ROW(L::python, "@^", "cached"),
    ROW(L::python, "import ^", "os"),
    ROW(L::python, "^", "class A:\n    pass"),
    ROW(L::c, "int f(void) {\n  if (^\n}\n", "x) {"),
    ROW(L::c, "int f(void) {\n  foo(^\n}\n", "a, b)"),
    ROW(L::c, "int f(void) {\n  foo(^\n}\n", "a, b);"),
    ROW(L::c, "int f(void) {\n  foo(^);\n}\n", "a, b"),
    ROW(L::c, "int f(void) {\n  p->^\n}\n", "next"),
    ROW(L::c, "int f(void) {\n  p->^\n}\n", "next = q;"),
    ROW(L::c, "static int ^", "parse(const char *s)"),
    ROW(L::cpp, "class ^", "Parser {"),
    ROW(L::cpp, "void f() {\n  std::^\n}\n", "vector<int> a;"),
    ROW(L::cpp, "void f() {\n  for (^\n}\n", "int i = 0; i < n; ++i) {"),
    ROW(L::rust, "fn f() {\n    let x = ^\n}\n", "foo(1);"),
    ROW(L::rust, "fn f() {\n    let x = ^\n}\n", "foo(1)"),
    ROW(L::rust, "fn f() {\n    ^\n}\n", "match x {\n        A => 1,\n        _ => 2,\n    }"),
    ROW(L::rust, "fn ^", "parse(s: &str) -> i32 {"),
    ROW(L::go, "package a\n\nfunc f() {\n\tif ^\n}\n", "err != nil {"),
    ROW(L::go, "package a\n\nfunc f() {\n\tx := ^\n}\n", "[]int{1, 2}"),
    ROW(L::java, "class A {\n  void f() {\n    foo(^\n  }\n}\n", "a, b);"),
    ROW(L::java, "class A {\n  ^\n}\n", "int f() {\n    return 1;\n  }"),
    ROW(L::javascript, "items.map(^)", "(x) => x.name"),
    ROW(L::javascript, "function f() {\n  return ^\n}\n", "{ a: 1 };"),
    ROW(L::typescript, "function f(^", "a: string): number {"),
    ROW(L::tsx, "const a = <B c={^} />;\n", "d.e"),
    ROW(L::none, "^", ") ) ("),
    // A fault that stands elsewhere is no reason to stay silent
    ROW(L::python, "x = = 1\n\ndef f():\n    return ^", "a + b"),
    ROW(L::c, "int g(void) { return = ; }\nint f(void) {\n  foo(^\n}\n", "a);"),
    // Faulty; the fault may be placed at the end of the last sound line
    ROW(L::python, "x = foo(^", "a, b))^)"),
    ROW(L::python, "def f():\n    ^\n", "x = 1\n    y = = ^2"),
    ROW(L::python, "def f():\n    ^\n", "x = 1\n    return return^ 2\n    z = 3"),
    ROW(L::python, "def f():\n    return ^\n", "a +^"),
    ROW(L::c, "int f(void) {\n  ^\n}\n", "int x = 1;\n  int y = ^);\n"),
    ROW(L::c, "int f(void) {\n  foo(^\n}\n", "a, ,^ b);"),
    ROW(L::cpp, "void f() {\n  ^\n}\n", "a();^\n}\n}\n"),
    ROW(L::rust, "fn f() {\n    ^\n}\n", "let x = 1;\n    let = ^;"),
    ROW(L::go, "package a\n\nfunc f() {\n\t^\n}\n", "x := 1\n\ty := := ^2"),
    ROW(L::java, "class A {\n  ^\n}\n", "int f( {^\n  }"),
    ROW(L::javascript, "const a = ^;\n", "[1, 2^"),
    ROW(L::typescript, "const a = ^\n", "foo(1))^"),
#undef ROW
};

}  // namespace

TEST_CASE("insertions are judged by the errors they bring") {
  for (const Row& row : rows) {
    const AtCursor at(row.language, row.text);
    std::string insertion = row.insertion;
    const std::size_t fault = insertion.find('^');
    if (fault != std::string::npos) {
      insertion.erase(fault, 1);
    }
    const Verdict verdict = check_insertion(at.document, at.tree.get(), at.offset, row.replaced, insertion);
    INFO("row at line ", row.line, "\n", std::string(row.text), "\n+ ", insertion, "\nerrors ", verdict.errors_before, " -> ",
         verdict.errors_after, ", fault at ", verdict.fault);
    CHECK(verdict.ok == (fault == std::string::npos));
    if (fault != std::string::npos && !verdict.ok) {
      // The parser may see it a few bytes earlier or later, but on the marked line.
      CHECK(verdict.fault <= insertion.size());
      CHECK(std::count(insertion.begin(), insertion.begin() + static_cast<std::ptrdiff_t>(verdict.fault), '\n') ==
            std::count(insertion.begin(), insertion.begin() + static_cast<std::ptrdiff_t>(fault), '\n'));
    }
  }
}

TEST_CASE("insertions split into steps, in order and without gaps") {
  struct Split {
    int line;
    Language language;
    const char* text;
    const char* insertion;
    std::vector<std::pair<std::string, std::string>> steps;  // focus and text
  };
#define SPLIT(...) Split{__LINE__, __VA_ARGS__}
  const Split splits[] = {
      SPLIT(L::python, "def f(a):\n    ^", "if a:\n        return 1\n    for b in a:\n        c(b)\n    return 2",
            {{"condition", "if a:"}, {"return", "\n        return 1"}, {"loop", "\n    for b in a:"}, {"call", "\n        c(b)"},
             {"return", "\n    return 2"}}),
      SPLIT(L::python, "^", "import os\n\n\ndef f():\n    # why\n    x = 1\n",
            {{"import", "import os"}, {"definition", "\n\n\ndef f():"}, {"comment", "\n    # why"}, {"assignment", "\n    x = 1\n"}}),
      SPLIT(L::python, "def f(a):\n    if a:\n        ^", "b()\n    else:\n        raise C()",
            {{"call", "b()"}, {"branch", "\n    else:"}, {"throw", "\n        raise C()"}}),
      SPLIT(L::python, "def f():\n    return ^", "a + b", {{"return", "a + b"}}),
      SPLIT(L::python, "foo(^)", "a, b, c", {{"argument", "a,"}, {"argument", " b,"}, {"argument", " c"}}),
      SPLIT(L::python, "x.^", "append(1)", {{"call", "append(1)"}}),
      SPLIT(L::c, "int f(void) {\n  ^\n}\n", "int x = 1;\n  while (x) {\n    x--;\n  }\n  return x;",
            {{"assignment", "int x = 1;"}, {"loop", "\n  while (x) {"}, {"assignment", "\n    x--;\n  }"}, {"return", "\n  return x;"}}),
      SPLIT(L::cpp, "void f() {\n  ^\n}\n", "if (a) {\n    b();\n  } else {\n    c();\n  }",
            {{"condition", "if (a) {"}, {"call", "\n    b();\n  }"}, {"branch", " else {"}, {"call", "\n    c();\n  }"}}),
      SPLIT(L::rust, "fn f() {\n    ^\n}\n", "let x = g();\n    match x {\n        A => 1,\n        _ => 2,\n    }",
            {{"assignment", "let x = g();"}, {"condition", "\n    match x {"}, {"branch", "\n        A => 1,"}, {"branch", "\n        _ => 2,\n    }"}}),
      SPLIT(L::go, "package a\n\nfunc f() {\n\t^\n}\n", "x := 1\n\tfor i := range y {\n\t\tg(i)\n\t}",
            {{"assignment", "x := 1"}, {"loop", "\n\tfor i := range y {"}, {"call", "\n\t\tg(i)\n\t}"}}),
      SPLIT(L::java, "class A {\n  ^\n}\n", "int f() {\n    return 1;\n  }\n  int g;",
            {{"definition", "int f() {"}, {"return", "\n    return 1;\n  }"}, {"assignment", "\n  int g;"}}),
      SPLIT(L::javascript, "^", "function f() {\n  const a = 1;\n  g(a);\n}",
            {{"definition", "function f() {"}, {"assignment", "\n  const a = 1;"}, {"call", "\n  g(a);\n}"}}),
      SPLIT(L::typescript, "^", "interface A {\n  b: string;\n}\ntype C = A;",
            {{"definition", "interface A {"}, {"statement", "\n  b: string;\n}"}, {"definition", "\ntype C = A;"}}),
      SPLIT(L::none, "^", "one\ntwo", {{"text", "one\ntwo"}}),
      SPLIT(L::python, "^", "", {}),
  };
#undef SPLIT
  for (const Split& split : splits) {
    const AtCursor at(split.language, split.text);
    const std::string insertion = split.insertion;
    const std::vector<Step> steps = split_steps(at.document, at.tree.get(), at.offset, 0, insertion);
    std::string told;
    for (const Step& step : steps) {
      told += "[" + step.focus + "] " + insertion.substr(step.start, step.end - step.start) + "\n";
    }
    std::string wanted;
    for (const auto& [focus, text] : split.steps) {
      wanted += "[" + focus + "] " + text + "\n";
    }
    INFO("row at line ", split.line);
    CHECK(told == wanted);
  }
}

TEST_CASE("steps of any part of any insertion cover it without gaps") {
  for (const Row& row : rows) {
    const AtCursor at(row.language, row.text);
    const std::string insertion = row.insertion;
    for (std::size_t length = 0; length <= insertion.size(); ++length) {
      const std::string part = insertion.substr(0, length);
      std::size_t expected = 0;
      for (const Step& step : split_steps(at.document, at.tree.get(), at.offset, row.replaced, part)) {
        CHECK(step.start == expected);
        CHECK(step.end > step.start);
        CHECK(!step.focus.empty());
        expected = step.end;
      }
      CHECK(expected == part.size());
      const Verdict verdict = check_insertion(at.document, at.tree.get(), at.offset, row.replaced, part);
      CHECK(verdict.fault <= part.size());
    }
  }
}
