// Golden pairs of generated and shown text: lines, blocks, brackets and lines that stand there already, loops, blanks.
#include "context/trim.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/context/at_cursor.h"

using namespace context;
using tests::AtCursor;
using L = Language;

namespace {

struct Row {
  int line;
  Language language;
  const char* text;  // the cursor is "^"
  const char* generated;
  const char* shown;
  std::size_t replace_after = 0;
};

const std::vector<Row> rows{
#define ROW(...) Row{__LINE__, __VA_ARGS__}
    // One line
    ROW(L::python, "import o^", "s\nimport sys\n", "s"),
    ROW(L::python, "x.^", "append(1)\nfoo()\n", "append(1)"),
    ROW(L::python, "def parse(^", "text):\n    return text\n", "text):"),
    ROW(L::python, "x.^", "append(1)   \n", "append(1)"),
    ROW(L::python, "x.^", "\nfoo()", ""),
    ROW(L::python, "x.^", "   ", ""),
    // The rest of the line
    ROW(L::python, "foo(^)", "a, b)", "a, b"),
    ROW(L::python, "foo(^)", "a, b", "a, b"),
    ROW(L::python, "print(^)", "foo(a)", "foo(a)"),
    ROW(L::python, "print(^)", "foo(a))", "foo(a)"),
    ROW(L::python, "print(^)", "a) + b", "a) + b", 1),
    ROW(L::javascript, "foo(^)", "a, b);", "a, b);", 1),
    ROW(L::javascript, "foo(^);", "a, b);", "a, b"),
    ROW(L::javascript, "foo(^, b);", "a, b);", "a"),
    ROW(L::javascript, "if (^) {", "a && b) {", "a && b"),
    ROW(L::javascript, "if (^) {\n}", "a && b", "a && b"),
    ROW(L::javascript, "a[^]", "i]", "i"),
    ROW(L::javascript, "a[^]", "i] = 2;", "i] = 2;", 1),
    ROW(L::python, "x = \"^\"", "hello\"", "hello"),
    ROW(L::python, "x = foo(\"^\")", "hello\")", "hello"),
    ROW(L::python, "ret^urn x", "urn x", ""),
    ROW(L::python, "x = a^ + b", "lpha + b", "lpha"),
    ROW(L::python, "x = ^ + b", "alpha", "alpha"),
    ROW(L::python, "foo(^)", "a, (b)", "a, (b)"),
    ROW(L::python, "foo(^)", "a, [b", "a, "),
    ROW(L::python, "foo(^)  # why", "a)", "a"),
    // Arguments on lines of their own
    ROW(L::python, "foo(\n    ^\n)\n", "a)\n", "a"),
    ROW(L::python, "foo(\n    ^\n", "a)\n", "a)"),
    // Blocks by indentation
    ROW(L::python, "def f():\n    ^", "x = 1\n    return x\n\n\ndef g():\n    pass\n", "x = 1\n    return x"),
    ROW(L::python, "def f():^", "\n    x = 1\n    return x\n\ny = 2\n", "\n    x = 1\n    return x"),
    ROW(L::python, "class A:\n    def f(self):\n        ^", "return 1\n\n    def g(self):\n        pass\n", "return 1"),
    ROW(L::python, "class A:\n    ^", "def g(self):\n        pass\n\n    x = 1\ny = 2\n", "def g(self):\n        pass\n\n    x = 1"),
    ROW(L::python, "def f():\n    if x:^", "\n        y()\n    else:\n        z()\n    return 1\n", "\n        y()\n    else:\n        z()"),
    ROW(L::python, "def f():\n    x = ^", "foo(\n  a,\n)\n    return x\ny\n", "foo(\n  a,\n)\n    return x"),
    ROW(L::python, "def f():\n    x = [\n        ^\n    ]\n", "1,\n        2,\n    ]\n", "1,\n        2,"),
    ROW(L::python, "def f():\n    x = [\n        ^", "1,\n        2,\n    ]\n    return x\n", "1,\n        2,\n    ]"),
    ROW(L::python, "^", "def f():\n    pass\n\n\ndef g():\n    pass\n", "def f():\n    pass\n\n\ndef g():\n    pass"),
    ROW(L::none, "a\n  ^", "b\n  c\nd", "b\n  c"),
    // Blocks by bracket
    ROW(L::rust, "fn f() {\n    ^\n}\n", "let x = 1;\n    x\n}\n\nfn g() {}\n", "let x = 1;\n    x"),
    ROW(L::rust, "fn f() {\n    ^", "let x = 1;\n    x\n}\n\nfn g() {}\n", "let x = 1;\n    x\n}"),
    ROW(L::rust, "fn f() {^", "\n    x\n}\n\nfn g() {}\n", "\n    x\n}"),
    ROW(L::rust, "fn f() {^\n}\n", "\n    x\n}\n\nfn g() {}\n", "\n    x"),
    ROW(L::javascript, "function f() {^}", "\n  return 1;\n}\n", "\n  return 1;\n}", 1),
    ROW(L::javascript, "items.map((x) => {^});", "\n  return x;\n});\n", "\n  return x;\n});", 3),
    ROW(L::javascript, "function f() {\n  if (a) {^\n}\n", "\n    b();\n  } else {\n    c();\n  }\n  d();\n",
        "\n    b();\n  } else {\n    c();\n  }"),
    ROW(L::c, "int f(void) {\n  ^\n}\n", "if (x) {\n    return 1;\n  }\n  return 2;\n}\n", "if (x) {\n    return 1;\n  }\n  return 2;"),
    ROW(L::c, "int f(void) {\n  if (x) {\n    ^\n  }\n}\n", "y();\n  }\n  z();\n}\n", "y();"),
    ROW(L::c, "int f(void) {\n  return ^\n}\n", "a[\"}\"];\n}\n", "a[\"}\"];"),
    ROW(L::javascript, "f(() => {\n  ^\n});\n", "a();\n});\n", "a();"),
    ROW(L::go, "func f() {\n\tx := []int{\n\t\t^\n\t}\n}\n", "1,\n\t\t2,\n\t}\n\treturn x\n}", "1,\n\t\t2,"),
    // Lines that follow already
    ROW(L::python, "def f():\n    ^\n    return total\n", "total = 1\n    return total\n", "total = 1"),
    ROW(L::python, "def f():\n    ^\n    return total\n", "return total\n", ""),
    ROW(L::javascript, "function f() {\n  ^\n  return total;\n}\n", "const total = 1;\n  return total;\n}\n", "const total = 1;"),
    ROW(L::python, "def f():\n    log(a)\n    ^\n", "log(a)\n", ""),
    // Loops
    ROW(L::python, "def f():\n    ^", "foo()\n    foo()\n    foo()\n    foo()\n", "foo()"),
    ROW(L::python, "def f():\n    ^", "a = 1\n    b = 2\n    a = 1\n    b = 2\n    a = 1\n    b = 2\n", "a = 1\n    b = 2"),
    ROW(L::python, "foo(^", "ab, ab, ab, ab, ab, ", "ab,"),
    ROW(L::python, "x = ^", "[0, 0, 0, 0, 0, 0]", "[0, 0, 0, 0, 0, 0]"),
    // Characters
    ROW(L::python, "x = ^", "\xc3\xa9 + \xe2\x82", "\xc3\xa9 +"),
    ROW(L::python, "x = ^", "\xe2\x82\xac", "\xe2\x82\xac"),
#undef ROW
};

Cursor classified(const AtCursor& at) { return classify(at.document, at.tree.get(), at.offset); }

}  // namespace

TEST_CASE("generated text is cut to what is worth showing") {
  for (const Row& row : rows) {
    const AtCursor at(row.language, row.text);
    const Cursor cursor = classified(at);
    const Trimmed trimmed = trim(at.document, at.offset, cursor, row.generated);
    INFO("row at line ", row.line, "\n", std::string(row.text), "\nclass: ", cursor.why, "\ndropped: ", trimmed.dropped);
    CHECK(trimmed.text == row.shown);
    CHECK(trimmed.replace_after == row.replace_after);
    if (trimmed.text.empty()) {
      CHECK(!trimmed.dropped.empty());
    }
  }
}

TEST_CASE("decoding may stop as soon as the text is complete, and no sooner") {
  struct Stop {
    int line;
    Language language;
    const char* text;
    const char* generated;  // "^" marks where decoding may stop; without one it may not
  };
#define STOP(...) Stop{__LINE__, __VA_ARGS__}
  const Stop stops[] = {
      STOP(L::python, "x.^", "append(1)\n^"),
      STOP(L::python, "def f():\n    ^", "x = 1\n    return x\n\n\n^def"),
      STOP(L::python, "def f():\n    ^", "x = 1\n\ny =^ 2"),
      STOP(L::python, "def f():\n    ^", "x = 1\n    y = 2\n    z"),
      STOP(L::python, "if x:^", "\n    y()\nelse:\n    z()\nw =^ 1"),
      STOP(L::python, "^", "def f():\n    pass\n\n\ndef g():\n    pass\n"),
      STOP(L::c, "int f(void) {\n  ^\n}\n", "if (x) {\n    y();\n  }\n}^\n"),
      STOP(L::c, "int f(void) {^", "\n  if (x) {\n    y();\n  }\n}\n^"),
      STOP(L::javascript, "if (a) {^", "\n  b();\n} else {\n  c();\n}\n^"),
      STOP(L::javascript, "const a = ^", "{\n  b: 1,\n};\n"),
      STOP(L::rust, "fn f() {\n    ^", "let c = '}';\n    g(\"}\");\n    // }\n"),
  };
#undef STOP
  for (const Stop& stop : stops) {
    const AtCursor at(stop.language, stop.text);
    const Cursor cursor = classified(at);
    const std::size_t line_start = at.document.line_start(at.document.line_of(at.offset));
    const std::string prefix = at.document.text().substr(line_start, at.offset - line_start);
    std::string generated = stop.generated;
    std::size_t expected = generated.find('^');
    if (expected != std::string::npos) {
      generated.erase(expected, 1);
    }
    std::size_t found = std::string::npos;
    for (std::size_t length = 0; length <= generated.size() && found == std::string::npos; ++length) {
      if (is_complete(cursor, prefix, std::string_view(generated).substr(0, length))) {
        found = length;
      }
    }
    INFO("row at line ", stop.line, "\n", std::string(stop.text), "\n", generated, "\nclass: ", cursor.why);
    CHECK(found == expected);
  }
}

TEST_CASE("what is shown is never cut inside a character, for any cursor and any text") {
  const std::string generated = "a(\xc3\xa9, \"\xe2\x82\xac\") {\n    \xf0\x9f\x98\x80 }\n)\n";
  for (const Row& row : rows) {
    const AtCursor at(row.language, row.text);
    const Cursor cursor = classified(at);
    for (std::size_t length = 0; length <= generated.size(); ++length) {
      const Trimmed trimmed = trim(at.document, at.offset, cursor, generated.substr(0, length));
      const std::string& text = trimmed.text;
      CHECK(at.offset + trimmed.replace_after <= at.document.text().size());
      std::size_t wanted = 0;
      for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        const bool continues = (byte & 0xC0) == 0x80;
        CHECK(continues == (wanted > 0));
        wanted = continues ? wanted - 1 : byte >= 0xF0 ? 3 : byte >= 0xE0 ? 2 : byte >= 0xC0 ? 1 : 0;
      }
      CHECK(wanted == 0);
    }
  }
}
