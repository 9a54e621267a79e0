// Compares incremental trees with fresh ones in every grammar, and follows documents from several threads at once.
#include "context/syntax.h"

#include <doctest/doctest.h>
#include <tree_sitter/api.h>

#include <atomic>
#include <cstdlib>
#include <latch>
#include <random>
#include <string>
#include <thread>
#include <vector>

using namespace context;
using L = Language;

namespace {

struct Sample {
  Language language;
  const char* text;
};

const Sample samples[] = {
    {L::python, "import os\n\n\ndef f(a, b=1):\n    \"\"\"Says.\"\"\"\n    for x in a:\n        if x:\n            print(f\"{x}\")\n"
                "    return [y for y in b]\n\n\nclass A(B):\n    x: int = 1\n"},
    {L::c, "#include <stdio.h>\n\nstruct a { int b; };\n\nint main(void) {\n  for (int i = 0; i < 3; ++i) {\n    printf(\"%d\\n\", i);\n"
           "  }\n  return 0;\n}\n"},
    {L::cpp, "#include <vector>\nnamespace a {\ntemplate <typename T>\nclass B : C {\n public:\n  B(int x) : x_(x) {}\n  auto f() { return [&](T y) { return y; }; }\n"
             " private:\n  int x_;\n};\n}\n"},
    {L::javascript, "import a from './a';\nconst f = (x) => {\n  return `a ${x} b`;\n};\nclass A extends B {\n  m() { if (/a[b]/.test(c)) { d(); } }\n}\n"},
    {L::typescript, "interface A { b: string; c?: number }\nfunction f<T>(a: T): Array<T> {\n  const x = a as unknown;\n  return [a];\n}\ntype U = A | null;\n"},
    {L::tsx, "function A(p: { b: string }) {\n  return <div className=\"x\">it's {p.b} <B c={1} /></div>;\n}\nexport default A;\n"},
    {L::rust, "use std::io;\n\nfn f<'a>(x: &'a str) -> Option<&'a str> {\n    match x {\n        \"a\" => None,\n        _ => Some(x),\n    }\n}\n\nimpl A {\n"
              "    fn g(&self) { println!(\"{}\", self.b); }\n}\n"},
    {L::go, "package a\n\nimport \"fmt\"\n\ntype T struct {\n\tb int\n}\n\nfunc (t *T) F(c []int) error {\n\tfor i, x := range c {\n\t\tfmt.Println(i, x)\n\t}\n"
            "\treturn nil\n}\n"},
    {L::java, "package a;\nimport java.util.List;\nclass A {\n  private int b = 1;\n  @Override\n  public String toString() {\n    for (int i : c) { d(i); }\n    return \"x\" + b;\n"
              "  }\n}\n"},
};

std::string describe(const SyntaxTree& tree) {
  char* const raw = ts_node_string(ts_tree_root_node(tree.get()));
  std::string result = raw;
  std::free(raw);
  return result;
}

// Kinds, positions and order of all nodes; ts_node_string alone would miss a shifted range.
void positions(TSNode node, std::string& out) {
  out += std::to_string(ts_node_start_byte(node)) + "-" + std::to_string(ts_node_end_byte(node)) + "@" +
         std::to_string(ts_node_start_point(node).row) + ":" + std::to_string(ts_node_start_point(node).column) + " ";
  for (std::uint32_t i = 0; i < ts_node_child_count(node); ++i) {
    positions(ts_node_child(node, i), out);
  }
}

std::string fingerprint(const SyntaxTree& tree) {
  std::string result = describe(tree);
  positions(ts_tree_root_node(tree.get()), result);
  return result;
}

// What people type and paste. Whole tokens keep most intermediate texts parsable, single marks break them.
const char* const pieces[] = {"a", "foo(", ")", "{", "}", "\n", "\n    ", " = ", "\"", "if ", "return ", ";", ".", ",", "'", "x", "1", "\t", "(b)", "\xc3\xa9"};

}  // namespace

TEST_CASE("incremental trees equal fresh ones over 300 random edits in each grammar") {
  for (const Sample& sample : samples) {
    std::mt19937 random(11);
    const auto below = [&](std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(random); };
    auto document = std::make_shared<const Document>(sample.text, 0);
    auto tree = parse(sample.language, document->text());
    REQUIRE(tree != nullptr);
    CHECK(count_errors(*tree, 0, document->text().size()) == 0);
    std::vector<AppliedEdit> edits;
    int compared = 0;
    int equal = 0;
    for (int step = 1; step <= 300; ++step) {
      AppliedEdit applied;
      // Every tenth edit goes back to the healthy text, so that recovery does not feed on its own ruins.
      if (step % 10 == 0) {
        document = document->with_edit(0, document->text().size(), sample.text, step, &applied);
      } else {
        const std::size_t start = below(document->text().size() + 1);
        const std::size_t end = start + (step % 4 == 0 ? below(6) : 0);
        document = document->with_edit(start, end, pieces[below(std::size(pieces))], step, &applied);
      }
      edits.push_back(applied);
      if (below(3) == 0) {
        continue;  // several edits before one parse
      }
      tree = reparse(*tree, edits, document->text());
      edits.clear();
      ++compared;
      const auto fresh = parse(sample.language, document->text());
      const bool same = fingerprint(*tree) == fingerprint(*fresh);
      equal += same ? 1 : 0;
      INFO(std::string(name(sample.language)), " step ", step, ":\n", document->text(), "\n", describe(*tree), "\n", describe(*fresh));
      // Where the text is healthy, both must agree to the byte. In broken text tree-sitter's recovery may depend on
      // what it could reuse; both trees then report the break.
      const bool healthy = count_errors(*fresh, 0, document->text().size()) == 0;
      CHECK((same || !healthy));
      CHECK((count_errors(*tree, 0, document->text().size()) == 0) == healthy);
      if (!same) {
        tree = fresh;
      }
    }
    MESSAGE(std::string(name(sample.language)), ": ", equal, " of ", compared, " trees identical");
    CHECK(equal * 100 >= compared * 95);
  }
}

TEST_CASE("errors are counted in a range") {
  const std::string text = "def f():\n    return 1\n\nx = (\n";
  const auto tree = parse(L::python, text);
  CHECK(count_errors(*tree, 0, text.size()) >= 1);
  CHECK(count_errors(*tree, 0, 20) <= count_errors(*tree, 0, text.size()));
  CHECK(parse(L::none, "text") == nullptr);
  const auto missing = parse(L::c, "int f(void) { return 1 }");
  CHECK(count_errors(*missing, 0, 24) == 1);
  CHECK(count_errors(*missing, 0, 10) == 0);
}

TEST_CASE("a tracker parses what is outstanding") {
  auto document = std::make_shared<const Document>("x = 1\n", 1);
  SyntaxTracker tracker(L::python, document);
  const auto first = tracker.parsed();
  CHECK(first.document == document);
  CHECK(tracker.parsed().tree == first.tree);

  std::vector<AppliedEdit> edits(2);
  auto second = document->with_edit(4, 5, "foo(", 2, &edits[0]);
  second = second->with_edit(8, 8, "1)", 3, &edits[1]);
  tracker.edited(second, edits);
  const auto parsed = tracker.parsed();
  CHECK(parsed.document == second);
  CHECK(fingerprint(*parsed.tree) == fingerprint(*parse(L::python, "x = foo(1)\n")));
  CHECK(fingerprint(*first.tree) == fingerprint(*parse(L::python, "x = 1\n")));

  SyntaxTracker plain(L::none, document);
  CHECK(plain.parsed().document == document);
  CHECK(plain.parsed().tree == nullptr);
}

TEST_CASE("edits that arrive during a parse belong to the next one") {
  std::string text;
  for (int i = 0; i < 3000; ++i) {
    text += "def f" + std::to_string(i) + "(a):\n    return a\n";
  }
  auto document = std::make_shared<const Document>(text, 0);
  SyntaxTracker tracker(L::python, document);
  std::latch start(2);
  std::atomic<bool> first_done = false;
  SyntaxTracker::Parsed first;
  std::thread parser([&] {
    start.arrive_and_wait();
    first = tracker.parsed();
    first_done = true;
  });
  start.arrive_and_wait();
  int while_parsing = 0;
  for (int step = 1; step <= 50; ++step) {
    AppliedEdit applied;
    document = document->with_edit(0, 0, "x = " + std::to_string(step) + "\n", step, &applied);
    while_parsing += first_done ? 0 : 1;
    tracker.edited(document, {applied});
  }
  parser.join();
  MESSAGE(while_parsing, " of 50 edits arrived before the first parse was over");
  // Whichever snapshot the parse began with, its tree is the tree of that snapshot.
  CHECK(fingerprint(*first.tree) == fingerprint(*parse(L::python, first.document->text())));
  const auto last = tracker.parsed();
  CHECK(last.document == document);
  CHECK(fingerprint(*last.tree) == fingerprint(*parse(L::python, document->text())));
}

TEST_CASE("readers and one writer on several threads") {
  auto document = std::make_shared<const Document>("def f():\n    return 1\n", 0);
  SyntaxTracker tracker(L::python, document);
  constexpr int readers = 3;
  std::latch start(readers + 1);
  std::atomic<bool> writing = true;
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < readers; ++i) {
    threads.emplace_back([&] {
      start.arrive_and_wait();
      std::int64_t seen = 0;
      // One more round after the last edit, so that every reader also sees the end.
      for (bool again = true; again;) {
        again = writing;
        const auto parsed = tracker.parsed();
        const bool own_tree = describe(*parsed.tree) == describe(*parse(L::python, parsed.document->text()));
        wrong += own_tree && parsed.document->version() >= seen ? 0 : 1;
        seen = parsed.document->version();
      }
    });
  }
  start.arrive_and_wait();
  for (int step = 1; step <= 200; ++step) {
    AppliedEdit applied;
    document = document->with_edit(document->text().size(), document->text().size(), "x = " + std::to_string(step) + "\n", step, &applied);
    tracker.edited(document, {applied});
  }
  writing = false;
  for (std::thread& thread : threads) {
    thread.join();
  }
  CHECK(wrong == 0);
  CHECK(tracker.parsed().document == document);
}
