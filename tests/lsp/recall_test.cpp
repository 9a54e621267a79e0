// Typing along a suggestion, and everything that is not that.
#include "lsp/recall.h"

#include <doctest/doctest.h>

#include <string>

namespace {

struct At {
  explicit At(std::string marked) : offset(marked.find('|')), document(std::make_shared<context::Document>(marked.erase(offset, 1), 1)) {}
  std::size_t offset;
  std::shared_ptr<const context::Document> document;
};

}  // namespace

TEST_CASE("what remains of a suggestion") {
  struct Row {
    const char* asked;
    const char* suggested;
    const char* now;
    const char* left;  // null: ask the model
  };
  const Row rows[] = {
      {"re| x", "turn", "ret| x", "urn"},
      {"re| x", "turn", "re| x", "turn"},
      {"re| x", "turn", "retur| x", "n"},
      {"re| x", "turn", "return| x", nullptr},
      {"re| x", "turn", "rea| x", nullptr},
      {"re| x", "turn", "r|e x", nullptr},
      {"re| x", "turn", "ret| y", nullptr},
      {"re| x", "turn", "Ret| x", nullptr},
      {"re| x", "turn", "ret |x", nullptr},
      {"re| x", "t\n  ", "ret| x", nullptr},
      {"re| x", "", "re| x", ""},
      {"re| x", "", "ret| x", nullptr},
      {"a|", "😀b", "a😀|", "b"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.now);
    const At asked(row.asked), now(row.now);
    lsp::Suggestion last{asked.document, asked.offset, false, std::vector<lsp::Completion>(1)};
    last.completions[0].text = row.suggested;
    last.completions[0].replace_after = 1;
    const auto left = recall(last, *now.document, now.offset, false);
    CHECK(left.empty() == (row.left == nullptr));
    if (!left.empty()) {
      CHECK(left[0].text == row.left);
      CHECK(left[0].replace_after == 1);
    }
    CHECK(recall(last, *now.document, now.offset, true).empty());
  }
}

TEST_CASE("a silence that settings imposed is not remembered") {
  const At asked("re| x");
  lsp::Suggestion last{asked.document, asked.offset, false, std::vector<lsp::Completion>(1)};
  last.completions[0].finish_reason = "off";
  CHECK(recall(last, *asked.document, asked.offset, false).empty());
}

TEST_CASE("of several suggestions those remain that go on as was typed") {
  const At asked("re| x");
  lsp::Suggestion last{asked.document, asked.offset, true, std::vector<lsp::Completion>(3)};
  last.completions[0].text = "turn";
  last.completions[1].text = "sult";
  last.completions[2].text = "turned";
  const auto texts = [&](const char* now, bool explicit_request) {
    const At at(now);
    std::string all;
    for (const auto& one : recall(last, *at.document, at.offset, explicit_request)) all += one.text + " ";
    return all;
  };
  CHECK(texts("re| x", true) == "turn sult turned ");
  CHECK(texts("res| x", false) == "ult ");
  CHECK(texts("ret| x", true) == "urn urned ");
  CHECK(texts("return| x", false) == "ed ");
  CHECK(texts("rex| x", false) == "");
}

TEST_CASE("a suggestion that is typed along becomes likelier") {
  const At asked("re| x"), now("ret| x");
  lsp::Suggestion last{asked.document, asked.offset, false, std::vector<lsp::Completion>(1)};
  last.completions[0].text = "turn";
  last.completions[0].probability = 0.0625;
  const auto left = lsp::recall(last, *now.document, now.offset, false);
  REQUIRE(left.size() == 1);
  CHECK(left[0].probability == doctest::Approx(0.125));
}
