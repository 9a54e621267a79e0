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
    lsp::Suggestion last{asked.document, asked.offset, false, {}};
    last.completion.text = row.suggested;
    last.completion.replace_after = 1;
    const auto left = recall(last, *now.document, now.offset, false);
    CHECK(left.has_value() == (row.left != nullptr));
    if (left) {
      CHECK(left->text == row.left);
      CHECK(left->replace_after == 1);
    }
    CHECK_FALSE(recall(last, *now.document, now.offset, true).has_value());
  }
}

TEST_CASE("a silence that settings imposed is not remembered") {
  const At asked("re| x");
  lsp::Suggestion last{asked.document, asked.offset, false, {}};
  last.completion.finish_reason = "off";
  CHECK_FALSE(recall(last, *asked.document, asked.offset, false).has_value());
}

TEST_CASE("a suggestion that is typed along becomes likelier") {
  const At asked("re| x"), now("ret| x");
  lsp::Suggestion last{asked.document, asked.offset, false, {}};
  last.completion.text = "turn";
  last.completion.probability = 0.0625;
  const auto left = lsp::recall(last, *now.document, now.offset, false);
  REQUIRE(left);
  CHECK(left->probability == doctest::Approx(0.125));
}
