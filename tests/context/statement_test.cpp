// Statements, comments and names around a cursor, over the languages.
#include "context/statement.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/context/at_cursor.h"

using context::Language;

TEST_CASE("the statement at a cursor, whole") {
  struct Row {
    Language language;
    const char* text;
    const char* statement;  // empty: none
  };
  const Row rows[] = {
      {Language::python, "def f(a):\n    b = ^g(a,\n          1)\n    return b\n", "b = g(a,\n          1)"},
      {Language::python, "if a:\n    b()\nel^se:\n    c()\n", "if a:\n    b()\nelse:\n    c()"},
      {Language::python, "def f(a):\n    # wh^y\n    return a\n", ""},
      {Language::python, "x = 1\n^\ny = 2\n", ""},
      {Language::cpp, "void f() {\n  in^t a = 1;\n  g(a);\n}\n", "int a = 1;"},
      {Language::typescript, "function f() {\n  return^ [\n    1,\n  ];\n}\n", "return [\n    1,\n  ];"},
      {Language::rust, "fn f() {\n    let^ a = 1;\n}\n", "let a = 1;"},
      {Language::go, "func f() {\n\ta := 1^\n}\n", "a := 1"},
      {Language::java, "class A {\n  int ^a = 1;\n}\n", "int a = 1;"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.text);
    const tests::AtCursor at(row.language, row.text);
    const auto span = context::statement_at(at.document, *at.tree, at.offset);
    CHECK(span.has_value() == (*row.statement != '\0'));
    if (span) CHECK(at.document.text().substr(span->start, span->end - span->start) == row.statement);
  }
}

TEST_CASE("the comment at a cursor, with the lines that belong to it") {
  struct Row {
    Language language;
    const char* text;
    const char* comment;
  };
  const Row rows[] = {
      {Language::python, "x = 1\n# one\n# t^wo\ny = 2\n", "# one\n# two"},
      {Language::python, "x = 1  # ^one\n", ""},
      {Language::python, "x =^ 1\n", ""},
      {Language::cpp, "/* one\n   tw^o */\nint x;\n", "/* one\n   two */"},
      {Language::cpp, "  // on^e\n  // two\n  f();\n", "// one\n  // two"},
      {Language::rust, "fn f() {\n    // on^e\n    g();\n}\n", "// one"},
      {Language::go, "func f() {\n\t// on^e\n\n\tg()\n}\n", "// one"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.text);
    const tests::AtCursor at(row.language, row.text);
    const auto span = context::comment_at(at.document, *at.tree, at.offset);
    CHECK(span.has_value() == (*row.comment != '\0'));
    if (span) CHECK(at.document.text().substr(span->start, span->end - span->start) == row.comment);
  }
}

TEST_CASE("Python bodies without a statement are counted, because the grammar passes them") {
  const auto empty = [](const char* text) { return context::count_empty_bodies(*context::parse(Language::python, text)); };
  CHECK(empty("def f():\n    pass\n") == 0);
  CHECK(empty("class A(B):\n\n\nclass C:\n    x = 1\n") == 1);
  CHECK(empty("def f():\n    if a:\n        # nothing\n    return 1\n") == 1);
  CHECK(empty("def f():\n    \"\"\"Says.\"\"\"\n") == 0);
}

TEST_CASE("names that may have been meant") {
  const tests::AtCursor at(Language::python, "total = 1\ncount = 2\nprint(^totl, tota, counter)\n");
  CHECK(context::identifier_at(at.document, *at.tree, at.offset, at.offset + 4) == "totl");
  CHECK(context::identifier_at(at.document, *at.tree, at.offset - 1, at.offset) == "");
  CHECK(context::identifier_at(at.document, *at.tree, at.offset, at.offset + 9) == "");
  const auto names = context::similar_names(at.document, *at.tree, "totl");
  REQUIRE(names.size() == 2);
  CHECK(names[0] == "tota");
  CHECK(names[1] == "total");
  CHECK(context::similar_names(at.document, *at.tree, "x").empty());
  const tests::AtCursor swapped(Language::python, "width = 1\nwidest = 2\nprint(^widht)\n");
  CHECK(context::similar_names(swapped.document, *swapped.tree, "widht") == std::vector<std::string>{"width"});
  CHECK(context::similar_names(swapped.document, *swapped.tree, "iwdth") == std::vector<std::string>{"width"});
  CHECK(context::similar_names(swapped.document, *swapped.tree, "wthid").empty());
}
