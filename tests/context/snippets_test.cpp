// Finds the passages of other files that share names with the cursor's surroundings.
#include "context/snippets.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>

using namespace context;

namespace {

std::shared_ptr<const Document> file(const std::string& text) { return std::make_shared<const Document>(text, 1); }

std::string filler(int lines) {
  std::string text;
  for (int i = 0; i < lines; ++i) {
    text += "unrelated" + std::to_string(i) + " = nothing_here" + std::to_string(i) + "\n";
  }
  return text;
}

const std::string about_orders =
    "def load_order(database, order_id):\n    row = database.fetch(order_id)\n    return Order(row.customer, row.total)\n";

}  // namespace

TEST_CASE("the passage with the same names comes last, others far off not at all") {
  const auto here = file("def save_order(database, order):\n    database.store(order.customer, order.total)\n    row = \n");
  const std::vector<OtherFile> others{
      {"filler.py", file(filler(200))},
      {"orders.py", file(filler(64) + about_orders + filler(64))},
      {"model.py", file("class Order:\n    customer = 1\n    total = 2\n")},
  };
  const auto snippets = similar_snippets(*here, here->text().size() - 1, others, 3);
  REQUIRE(snippets.size() >= 1);
  CHECK(snippets.back().path == "model.py");
  for (const Snippet& snippet : snippets) {
    CHECK(snippet.path != "filler.py");
  }
  CHECK(similar_snippets(*here, 0, others, 0).empty());
  CHECK(similar_snippets(*here, 0, {}, 3).empty());
}

TEST_CASE("no two passages overlap, and none is longer than 32 lines") {
  std::string text;
  for (int i = 0; i < 40; ++i) {
    text += about_orders;
  }
  const auto here = file(about_orders);
  const auto snippets = similar_snippets(*here, here->text().size(), {{"orders.py", file(text)}}, 10);
  CHECK(snippets.size() >= 3);
  std::size_t total = 0;
  for (const Snippet& snippet : snippets) {
    CHECK(std::count(snippet.text.begin(), snippet.text.end(), '\n') <= 32);
    total += snippet.text.size();
  }
  CHECK(total <= text.size());
}

TEST_CASE("typing on the cursor's line does not change the choice") {
  const std::vector<OtherFile> others{{"orders.py", file(about_orders)}, {"other.py", file(filler(5) + "total = customer\n")}};
  auto here = file(about_orders + "\n\n" + about_orders);
  std::size_t offset = about_orders.size() + 1;
  const auto before = similar_snippets(*here, offset, others, 2);
  for (const char c : std::string("unrelated1 = nothing_here1")) {
    here = here->with_edit(offset, offset, std::string(1, c), 2);
    ++offset;
    const auto after = similar_snippets(*here, offset, others, 2);
    REQUIRE(after.size() == before.size());
    for (std::size_t i = 0; i < after.size(); ++i) {
      CHECK(after[i].text == before[i].text);
    }
  }
}
