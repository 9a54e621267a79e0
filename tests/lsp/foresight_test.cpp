// What is completed in a pause, and what is not worth it.
#include "lsp/foresight.h"

#include <doctest/doctest.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/lsp/fake_model.h"

namespace {

tests::FakeModel says_next() {
  tests::FakeModel model;
  model.says = [](const std::string&, const std::string&) { return std::string("next"); };
  return model;
}

// An event loop, a scheduler and a clock that do what the test says, when it says so.
struct Pause {
  tests::FakeModel model = says_next();
  lsp::ModelPort port = model.port();
  std::shared_ptr<context::Anchors> anchors = std::make_shared<context::Anchors>();
  std::vector<std::function<void()>> later{};
  std::vector<lsp::Job> jobs{};
  std::shared_ptr<lsp::Foresight> foresight = std::make_shared<lsp::Foresight>(lsp::ForesightHooks{
      [this](std::chrono::milliseconds, std::function<void()> task) { later.push_back(std::move(task)); },
      [](const std::function<void()>& task) { task(); }, [this](lsp::Job job) { jobs.push_back(std::move(job)); },
      [this]() -> const lsp::ModelPort* { return &port; }});

  void answered(const std::string& text, double probability) {
    lsp::CompletionInput input;
    input.session = "a.py";
    input.path = "a.py";
    input.language = context::Language::python;
    input.document = std::make_shared<const context::Document>("x = \n", 1);
    input.offset = 4;
    input.anchors = anchors;
    // Only what begins like a prompt that was there is computed ahead.
    lsp::complete(port, input, {});
    model.prefixes.clear();
    lsp::Completion shown;
    shown.text = text;
    shown.probability = probability;
    foresight->stir("a.py");
    foresight->answered(input, shown);
  }

  void pass() {
    for (const auto& task : std::exchange(later, {})) task();
    for (lsp::Job& job : std::exchange(jobs, {})) {
      job.work({});
      job.finished(lsp::Outcome::done, "");
    }
  }
};

}  // namespace

TEST_CASE("the place behind a likely suggestion is completed in a pause") {
  Pause pause;
  pause.answered("call(1)", 0.4);
  CHECK(pause.model.prefixes.empty());
  pause.pass();
  REQUIRE(pause.model.prefixes.size() == 1);
  CHECK(pause.model.prefixes[0] == "x = call(1)");
  const lsp::Suggestion* ahead = pause.foresight->ahead("a.py");
  REQUIRE(ahead);
  CHECK(ahead->document->text() == "x = call(1)\n");
  CHECK(ahead->offset == 11);
  // Whoever types along leads to the same place, which is known.
  pause.answered("call(1)", 0.4);
  pause.pass();
  CHECK(pause.model.prefixes.empty());
  pause.foresight->forget("a.py");
  CHECK_FALSE(pause.foresight->ahead("a.py"));
}

TEST_CASE("the place behind a suggestion that the model itself doubts is not") {
  Pause pause;
  pause.answered("call(1)", lsp::Foresight::likely_enough / 2);
  pause.pass();
  CHECK(pause.model.prefixes.empty());
  CHECK_FALSE(pause.foresight->ahead("a.py"));
}

TEST_CASE("no pause, no foresight") {
  Pause pause;
  pause.answered("call(1)", 0.4);
  pause.foresight->stir("a.py");
  pause.pass();
  CHECK(pause.model.prefixes.empty());
}
