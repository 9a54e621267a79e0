// Reads fragments that end in the middle of things: open brackets, strings, comments, interpolations.
#include "context/lex.h"

#include <doctest/doctest.h>

#include <string>

using namespace context;
using L = Language;

namespace {

// What is open at the end, e.g. "({" and then a letter for the mode: s(tring), l(ine) or b(lock comment).
std::string summary(Language language, std::string_view text) {
  const Lexed lexed = lex(language, text);
  std::string result;
  for (const Bracket& bracket : lexed.open) {
    result += bracket.interpolation ? '$' : bracket.kind;
  }
  for (const Bracket& bracket : lexed.stray) {
    result += bracket.kind;
  }
  switch (lexed.mode) {
    case LexMode::code: break;
    case LexMode::string: result += 's'; break;
    case LexMode::line_comment: result += 'l'; break;
    case LexMode::block_comment: result += 'b'; break;
  }
  return result;
}

}  // namespace

TEST_CASE("what is open at the end of a fragment") {
  struct Row {
    Language language;
    const char* text;
    const char* expected;
  };
  const Row rows[] = {
      {L::python, "", ""},
      {L::python, "f(a[{", "([{"},
      {L::python, "f(a[1])", ""},
      {L::python, "a) + b]", ")]"},
      {L::python, "x = 'it", "s"},
      {L::python, "x = 'it\ny", ""},
      {L::python, "x = '''it\ny", "s"},
      {L::python, "x = '\\'", "s"},
      {L::python, "x = 'a\\", "s"},
      {L::python, "# f(", "l"},
      {L::python, "# f(\n[", "["},
      {L::python, "f'{a(", "$("},
      {L::python, "f'{{a(", "s"},
      {L::python, "rf'{a}", "s"},
      {L::python, "f'{a}'", ""},
      {L::python, "f'{a\nb", ""},
      {L::python, "'{a", "s"},
      {L::python, "if_'{a", "s"},
      {L::javascript, "`a ${b(", "$("},
      {L::javascript, "`a ${`b ${c", "$$"},
      {L::javascript, "`a ${`b ${c}` + d", "$"},
      {L::javascript, "`a\nb", "s"},
      {L::javascript, "x = /[(/]/; f(", "("},
      {L::javascript, "x = a / b; f(", "("},
      {L::javascript, "return /\"/.test(", "("},
      {L::javascript, "/* a\n(", "b"},
      {L::javascript, "// (", "l"},
      {L::tsx, "<p>don't {", "{"},
      {L::c, "'\\''; \"(\"; f(", "("},
      {L::c, "\"a\n(", "("},
      {L::cpp, "1'000'000 + (", "("},
      {L::cpp, "R\"x()\" )x\" (", "("},
      {L::cpp, "R\"x( )\"", "s"},
      {L::rust, "'(' + f::<'a>(", "("},
      {L::rust, "r#\"a \" (", "s"},
      {L::rust, "r#\"a \"# (", "("},
      {L::rust, "b'\\'' (", "("},
      {L::rust, "'\xc3\xa9' (", "("},
      {L::rust, "\"a\nb", "s"},
      {L::go, "`a\n\\` (", "("},
      {L::go, "'\"' (", "("},
      {L::java, "\"\"\"\n a \" (", "s"},
      {L::java, "'\"' (", "("},
      {L::c, "{ ( }", ""},
      {L::c, "{ ) }", ")"},
      {L::c, "( [ )", ""},
      {L::none, "it's (", "("},
  };
  for (const Row& row : rows) {
    INFO(std::string(name(row.language)), ": ", std::string(row.text));
    CHECK(summary(row.language, row.text) == row.expected);
  }
}

TEST_CASE("every prefix of a fragment can be read") {
  const std::string text = "f'{a[\"b\\\"]}' `x ${y('z')} \\` R\"q(a)q\" r##\"b\"## /* c */ // d\n/[/]/ 'e' \"\"\"g\"\"\" #h";
  for (const Language language : {L::python, L::c, L::cpp, L::javascript, L::tsx, L::rust, L::go, L::java, L::none}) {
    for (std::size_t from = 0; from < text.size(); ++from) {
      for (std::size_t length = 0; from + length <= text.size(); ++length) {
        const Lexed lexed = lex(language, std::string_view(text).substr(from, length));
        CHECK(lexed.mode_start <= length);
        CHECK((lexed.open.empty() || lexed.open.back().offset < length));
      }
    }
  }
}
