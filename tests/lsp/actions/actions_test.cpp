// What is offered where, and what each action makes of a text; the model is one that says what the test tells it to.
#include "lsp/actions/actions.h"

#include <doctest/doctest.h>

#include <map>
#include <set>
#include <string>

#include "tests/lsp/fake_model.h"

using context::Language;
using lsp::ActionKind;

namespace {

// A text whose selection is "[...]", or whose cursor is "^".
struct Marked {
  Marked(Language language, std::string text, const std::string& file = "/w/shop.py") {
    const std::size_t open = std::min(text.find('^'), text.find('['));
    const bool cursor = text[open] == '^';
    text.erase(open, 1);
    const std::size_t close = cursor ? open : text.find(']');
    if (!cursor) text.erase(close, 1);
    place.document = std::make_shared<const context::Document>(text, 1);
    place.language = language;
    place.file = file;
    place.path = file.substr(3);
    place.start = open;
    place.end = close;
  }
  const std::string& text() const { return place.document->text(); }
  std::vector<lsp::ActionOffer> offers(const std::vector<lsp::Diagnosed>& diagnostics = {}, bool suggestion = false) const {
    const auto tree = context::parse(place.language, text());
    return lsp::offer_actions(place, tree.get(), diagnostics, suggestion);
  }
  lsp::ActionPlace place;
};

std::string kinds(const std::vector<lsp::ActionOffer>& offers) {
  std::string names;
  for (const auto& offer : offers) names += (names.empty() ? "" : " ") + std::string(lsp::name(offer.kind));
  return names;
}

struct Ran {
  lsp::ActionResult result;
  std::string after;  // the document with the changes in it
};

Ran run(const Marked& marked, ActionKind kind, tests::FakeModel& model, const std::vector<lsp::Diagnosed>& diagnostics = {},
        const std::map<std::string, std::string>& files = {}) {
  lsp::ActionOffer chosen;
  bool found = false;
  for (const auto& offer : marked.offers(diagnostics)) {
    if (offer.kind == kind && !found) chosen = offer;
    found = found || offer.kind == kind;
  }
  REQUIRE(found);
  const lsp::ReadFile read = [files](const std::string& file) -> std::optional<std::string> {
    const auto at = files.find(file);
    return at == files.end() ? std::nullopt : std::optional(at->second);
  };
  Ran ran{lsp::run_action(model.port(), chosen, marked.place, {}, read, {}), marked.text()};
  for (const auto& file : ran.result.changes) {
    for (const auto& change : file.changes) {
      if (file.file.empty()) ran.after.replace(change.start, change.end - change.start, change.text);
    }
  }
  return ran;
}

std::string foci(const lsp::ActionResult& result) {
  std::string all;
  for (const auto& step : result.steps) all += " " + step.focus;
  return all + " ";
}

}  // namespace

TEST_CASE("actions are offered where syntax lets them apply, and nowhere else") {
  struct Row {
    Language language;
    const char* text;
    const char* offered;
  };
  const Row rows[] = {
      {Language::python, "def f(a):^\n    pass\n", "implement document"},
      {Language::python, "def f(a):\n    ^pass\n", "implement"},
      {Language::python, "def f(a):^\n    return a\n", "tests document"},
      {Language::python, "def f(a):^\n    \"\"\"Says.\"\"\"\n    return a\n", "tests"},
      {Language::python, "def f(a):\n    ^return a\n", ""},
      {Language::python, "def f(a):\n    [return a]\n", "repair continue"},
      {Language::python, "[def f(a):\n    return a]\n", "tests document repair continue"},
      {Language::python, "[def f(a):\n    pass\n]", "implement document repair continue"},
      {Language::python, "# one^\nx = 1\n", "rewrite"},
      // A character is a cursor.
      {Language::python, "[d]ef f(a):\n    return a\n", "tests document"},
      {Language::python, "def f(a):[\r\n]    return a\r\n", "tests document"},
      {Language::python, "größe = [ö]\n", ""},
      {Language::python, "x = [12]\n", "repair continue"},
      {Language::python, "def test_f():^\n    \"\"\"Says.\"\"\"\n    return 1\n", ""},
      {Language::python, "x = ^1\n", ""},
      {Language::python, "^", "module"},
      {Language::java, "^", ""},
      {Language::none, "some [words] here\n", "continue"},
      {Language::none, "some ^words here\n", ""},
      {Language::cpp, "int f(int a) {^\n}\n", "implement document"},
      {Language::typescript, "/** Says. */\nexport function f(a: number) {^\n  return a;\n}\n", "tests"},
      {Language::go, "package a\n\nfunc F() int {^\n\tpanic(\"not implemented\")\n}\n", "implement document"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.text);
    CHECK(kinds(Marked(row.language, row.text).offers()) == row.offered);
  }
  CHECK(kinds(Marked(Language::python, "x = ^1\n").offers({}, true)) == "explain");
}

TEST_CASE("diagnostics at the place are offered to be fixed, and others not") {
  const Marked marked(Language::python, "x = ^totl\ny = 2\n");
  const auto offers = marked.offers({{4, 8, "undefined name 'totl'\nmore", 0}, {9, 10, "y is unused", 1}});
  REQUIRE(kinds(offers) == "fix");
  CHECK(offers[0].title == "Fix: undefined name 'totl' (loopd)");
  CHECK(offers[0].diagnosed->index == 0);
}

TEST_CASE("kinds, names and back") {
  std::set<std::string> names;
  for (const auto kind : {ActionKind::implement, ActionKind::continue_selection, ActionKind::rewrite, ActionKind::add_tests, ActionKind::document,
                          ActionKind::fix_diagnostic, ActionKind::repair, ActionKind::explain_last, ActionKind::generate_module}) {
    names.insert(std::string(lsp::name(kind)));
    CHECK(lsp::action_named(lsp::name(kind)) == kind);
  }
  CHECK(names.size() == 9);
  CHECK_FALSE(lsp::action_named("delete everything"));
  CHECK(lsp::code_action_kind(ActionKind::repair) == "quickfix");
}

TEST_CASE("each action changes what it is about, and not a byte around it") {
  struct Row {
    ActionKind kind;
    Language language;
    const char* text;
    const char* says;
    const char* after;
  };
  const Row rows[] = {
      {ActionKind::implement, Language::python, "def f(a):^\n    \"\"\"Says.\"\"\"\n    pass\n\n\nx = 1\n", "return a + 1\n\n\ndef g():\n", "def f(a):\n    \"\"\"Says.\"\"\"\n    return a + 1\n\n\nx = 1\n"},
      {ActionKind::implement, Language::python, "def f(a):^\n\n\nx = 1\n", "b = a\n    return b\n", "def f(a):\n    b = a\n    return b\n\n\nx = 1\n"},
      {ActionKind::implement, Language::python, "class A:\r\n    def f(self):^\r\n        pass\r\n", "a = 1\n        return a", "class A:\r\n    def f(self):\r\n        a = 1\r\n        return a\r\n"},
      {ActionKind::implement, Language::cpp, "int f(int a) {^}\nint g;\n", "return a;\n}\n", "int f(int a) {\n    return a;\n}\nint g;\n"},
      {ActionKind::implement, Language::rust, "fn f(a: u8) -> u8 {\n    // adds\n    ^todo!()\n}\n", "a + 1\n}", "fn f(a: u8) -> u8 {\n    // adds\n    a + 1\n}\n"},
      {ActionKind::implement, Language::go, "package a\n\nfunc f(a int) int {^\n}\n", "return a\n}\n", "package a\n\nfunc f(a int) int {\n\treturn a\n}\n"},
      // Whole without a semicolon: no block is asked for.
      {ActionKind::implement, Language::go, "package a\n\nfunc f(a int) int {^\n}\n", "return g(a)\n", "package a\n\nfunc f(a int) int {\n\treturn g(a)\n}\n"},
      {ActionKind::document, Language::python, "def f(a):^\n    return a\n", "Return the argument.\"\"\"\n    x", "def f(a):\n    \"\"\"Return the argument.\"\"\"\n    return a\n"},
      {ActionKind::document, Language::typescript, "  function f(a: number) {^\n    return a;\n  }\n", "Returns the argument. */\n", "  /** Returns the argument. */\n  function f(a: number) {\n    return a;\n  }\n"},
      {ActionKind::document, Language::go, "package a\n\nfunc f(a int) int {^\n\treturn a\n}\n", "returns the argument.\n", "package a\n\n// f returns the argument.\nfunc f(a int) int {\n\treturn a\n}\n"},
      {ActionKind::rewrite, Language::python, "# doubles^\nx = 1\ny = 2\n", "x = 2 * x\n\nz = 3\n", "# doubles\nx = 2 * x\ny = 2\n"},
      {ActionKind::rewrite, Language::python, "def f():\n    # doubles^\n\n    return 1\n", "x = 2\n\n    z = 3\n", "def f():\n    # doubles\n    x = 2\n\n    return 1\n"},
      {ActionKind::continue_selection, Language::python, "def f():\n[    a = 1\n]    return a\n", "b = 2\n\n    c = 3\n", "def f():\n    a = 1\n    b = 2\n    return a\n"},
      {ActionKind::add_tests, Language::rust, "fn f(a: u8) -> u8 {^\n    a\n}\n", "assert_eq!(f(1), 1);\n    }\n", "fn f(a: u8) -> u8 {\n    a\n}\n\n#[cfg(test)]\nmod f_tests {\n    use super::*;\n\n    #[test]\n    fn f_works() {\n        assert_eq!(f(1), 1);\n    }\n}\n"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.text);
    tests::FakeModel model;
    model.says = [&](const std::string&, const std::string&) { return std::string(row.says); };
    const Marked marked(row.language, row.text);
    const Ran ran = run(marked, row.kind, model);
    CHECK(ran.after == row.after);
    REQUIRE(ran.result.changes.size() == 1);
    CHECK_FALSE(ran.result.steps.empty());
    CHECK(foci(ran.result).find(" check ") != std::string::npos);
    const auto& change = ran.result.changes[0].changes[0];
    CHECK(ran.after.substr(0, change.start) == marked.text().substr(0, change.start));
    CHECK(ran.after.substr(change.start + change.text.size()) == marked.text().substr(change.end));
  }
}

TEST_CASE("a draft that breaks the parse is drawn again, and after the last one nothing is changed") {
  const Marked marked(Language::python, "def f(a):^\n    pass\n\n\ny = [1]\n");
  tests::FakeModel model;
  int drafts = 0;
  model.says = [&](const std::string&, const std::string&) { return ++drafts <= 2 ? "return ((\n" : "return a\n"; };
  const Ran good = run(Marked(Language::python, "def f(a):^\n    pass\n"), ActionKind::implement, model);
  CHECK(good.after == "def f(a):\n    return a\n");
  CHECK(std::any_of(good.result.steps.begin(), good.result.steps.end(), [](const lsp::LoopStep& step) { return step.kind == lsp::StepKind::revise; }));
  CHECK(model.temperatures.back() > 0);

  model.says = [&](const std::string&, const std::string&) { return "return ((\n"; };
  const Ran bad = run(Marked(Language::python, "def f(a):^\n    pass\n"), ActionKind::implement, model);
  CHECK(bad.result.changes.empty());
  CHECK(bad.result.explain.back().find("nothing is changed") == 0);
}

TEST_CASE("a text that was broken elsewhere may be worked on, and gets no worse") {
  tests::FakeModel model;
  model.says = [](const std::string&, const std::string&) { return "return a\n"; };
  const Ran ran = run(Marked(Language::python, "def g():\n    return 1 1\n\n\ndef f(a):^\n    pass\n"), ActionKind::implement, model);
  CHECK(ran.after.find("    return a\n") != std::string::npos);
}

TEST_CASE("imports that are not there are no part of a result") {
  tests::FakeModel model;
  model.says = [](const std::string&, const std::string&) { return "import nonsense\n    return nonsense.f(a)\n"; };
  CHECK(run(Marked(Language::python, "def f(a):^\n    pass\n"), ActionKind::implement, model).result.changes.empty());
  CHECK(run(Marked(Language::python, "def f(a):^\n    pass\n"), ActionKind::implement, model, {}, {{"/w/nonsense.py", ""}}).result.changes.size() == 1);
  model.says = [](const std::string&, const std::string&) { return "return os.path.join(a)\n"; };
  CHECK(run(Marked(Language::python, "def f(a):^\n    pass\n"), ActionKind::implement, model).result.changes.empty());
  CHECK(run(Marked(Language::python, "import os\n\n\ndef f(a):^\n    pass\n"), ActionKind::implement, model).result.changes.size() == 1);
}

TEST_CASE("tests go into the file that holds them by habit, new or not") {
  tests::FakeModel model;
  model.says = [](const std::string&, const std::string&) { return "self.assertEqual(area(2, 3), 6)\n"; };
  const Marked marked(Language::python, "def area(a, b):^\n    return a * b\n");
  const auto created = run(marked, ActionKind::add_tests, model).result;
  REQUIRE(created.changes.size() == 1);
  CHECK(created.changes[0].create);
  CHECK(created.changes[0].file == "/w/test_shop.py");
  const std::string text = created.changes[0].changes[0].text;
  CHECK(text.find("from shop import area\n") != std::string::npos);
  CHECK(text.find("    def test_area(self):\n        self.assertEqual(area(2, 3), 6)\n") != std::string::npos);
  CHECK(lsp::errors_with(Language::python, text, 0, 0, "") == 0);

  const std::string old = "import unittest\n\n\nclass OldTest(unittest.TestCase):\n    pass\n\n\nif __name__ == \"__main__\":\n    unittest.main()\n";
  const auto added = run(marked, ActionKind::add_tests, model, {}, {{"/w/test_shop.py", old}}).result;
  REQUIRE(added.changes.size() == 1);
  CHECK_FALSE(added.changes[0].create);
  const auto& change = added.changes[0].changes[0];
  CHECK(change.start == old.find("\n\n\nif __name__"));
  CHECK(change.end == change.start);

  model.says = [](const std::string&, const std::string&) { return "self.assertTrue(True)\n"; };
  CHECK(run(marked, ActionKind::add_tests, model).result.changes.empty());  // it never calls what it is to test
}

TEST_CASE("a misspelt name is put right without the model") {
  tests::FakeModel model;
  model.says = [](const std::string&, const std::string&) -> std::string { throw std::runtime_error("not asked"); };
  const Ran ran = run(Marked(Language::python, "total = 1\nprint(^totl)\n"), ActionKind::fix_diagnostic, model, {{16, 20, "undefined name 'totl'", 0}});
  CHECK(ran.after == "total = 1\nprint(total)\n");
}

TEST_CASE("a diagnostic's statement is written anew, and the model is told what is wrong with it") {
  tests::FakeModel model;
  model.says = [](const std::string&, const std::string&) { return "return a + b\n"; };
  const Ran ran = run(Marked(Language::python, "def f(a, b):\n    return a ^b\n"), ActionKind::fix_diagnostic, model, {{26, 27, "invalid syntax", 0}});
  CHECK(ran.after == "def f(a, b):\n    return a + b\n");
  CHECK(model.prefixes.back().find("# invalid syntax\n") != std::string::npos);
  CHECK(ran.after.find("invalid syntax") == std::string::npos);
}

TEST_CASE("repairing locates, changes and checks, each a step of the trace") {
  tests::FakeModel model;
  model.says = [](const std::string& prefix, const std::string&) {
    if (prefix.ends_with("def mean(xs):\n    ")) return std::string("total = sum(xs)\n");
    return std::string("return total / len(xs)\n");
  };
  const Ran ran = run(Marked(Language::python, "def mean(xs):\n[    total = sum(xs)\n    return total * len(xs)\n]"), ActionKind::repair, model);
  CHECK(ran.after == "def mean(xs):\n    total = sum(xs)\n    return total / len(xs)\n");
  const std::string all = foci(ran.result);
  CHECK(all.find(" locate ") < all.find(" change "));
  CHECK(all.find(" change ") < all.rfind(" check "));
}

TEST_CASE("an action that is stopped changes nothing") {
  tests::FakeModel model;
  std::stop_source stop;
  model.says = [](const std::string&, const std::string&) { return "return a\n"; };
  model.during = [&](std::stop_token) { stop.request_stop(); };
  const Marked marked(Language::python, "def f(a):^\n    pass\n");
  const auto result = lsp::run_action(model.port(), marked.offers()[0], marked.place, {}, {}, stop.get_token());
  CHECK(result.cancelled);
  CHECK(result.changes.empty());
  CHECK(model.prefixes.size() == 1);
}
