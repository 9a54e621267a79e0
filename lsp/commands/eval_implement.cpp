// `loopd eval implement FILE.jsonl`: runs the implement action on functions whose bodies were taken out, and counts how many
// results parse and leave everything else as it was.
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "context/statement.h"
#include "context/syntax.h"
#include "lsp/actions/actions.h"
#include "lsp/commands/commands.h"
#include "lsp/commands/open_model.h"
#include "lsp/json_rpc.h"
#include "lsp/sessions.h"

namespace lsp {
namespace {

struct Task {
  std::string path, language, text;
  std::size_t line = 0;  // of the function's header
};

struct Score {
  std::size_t count = 0;
  std::size_t offered = 0;  // the syntax says that there is a function to implement
  std::size_t applied = 0;
  std::size_t parses = 0;   // of all: applied, with no more parse errors than before
  std::size_t outside = 0;  // of the applied: bytes around the body are what they were
  std::size_t revised = 0;  // more than one draft was needed
  std::vector<double> ms;
};

std::vector<Task> read_tasks(const std::string& path, std::size_t limit) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error(path + ": cannot be read");
  std::vector<Task> tasks;
  std::string line;
  for (std::size_t number = 1; tasks.size() < limit && std::getline(file, line); ++number) {
    const Json json = Json::parse(line, nullptr, false);
    const auto has = [&](const char* key) { return json.is_object() && json.contains(key) && json[key].is_string(); };
    if (!has("path") || !has("text") || !json.contains("line") || !json["line"].is_number_unsigned()) {
      throw std::runtime_error(path + ", line " + std::to_string(number) + ": needs \"path\", \"text\" and \"line\"");
    }
    tasks.push_back({json["path"], has("language") ? json["language"].get<std::string>() : "", json["text"], json["line"]});
  }
  if (tasks.empty()) throw std::runtime_error(path + ": holds no task");
  return tasks;
}

std::size_t errors_in(context::Language language, const std::string& text) {
  const auto tree = context::parse(language, text);
  return tree ? context::count_errors(*tree, 0, text.size()) + context::count_empty_bodies(*tree) : 0;
}

// The text with the result in it, judged from outside: nothing here trusts what the action checked itself.
void judge(const Task& task, context::Language language, const ActionResult& result, Score& score) {
  score.ms.push_back(result.timings.total);
  score.revised += std::any_of(result.steps.begin(), result.steps.end(), [](const LoopStep& step) { return step.kind == StepKind::revise; }) ? 1 : 0;
  if (result.changes.size() != 1 || result.changes[0].changes.size() != 1) return;
  const TextChange& change = result.changes[0].changes[0];
  ++score.applied;
  const std::string after = task.text.substr(0, change.start) + change.text + task.text.substr(change.end);
  score.parses += errors_in(language, after) <= errors_in(language, task.text) ? 1 : 0;
  // Of what stood there, blanks and a lone `pass` may go; everything else counts as outside the body.
  const std::string replaced = task.text.substr(change.start, change.end - change.start);
  const std::size_t first = replaced.find_first_not_of(" \t\r\n");
  const std::size_t last = replaced.find_last_not_of(" \t\r\n");
  score.outside += first == std::string::npos || replaced.substr(first, last + 1 - first) == "pass" ? 1 : 0;
}

void implement(const ModelPort& model, const Task& task, const FillOptions& options, Score& score) {
  ActionPlace place;
  place.document = std::make_shared<const context::Document>(task.text, 1);
  place.language = context::detect_language(task.language, task.path);
  place.path = task.path;
  place.start = place.end = place.document->line_end(task.line);
  ++score.count;
  const auto tree = context::parse(place.language, task.text);
  for (const ActionOffer& offer : offer_actions(place, tree.get(), {}, false)) {
    if (offer.kind != ActionKind::implement) continue;
    ++score.offered;
    judge(task, place.language, run_action(model, offer, place, options, {}, {}), score);
    return;
  }
}

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

double share(std::size_t part, std::size_t whole) { return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole); }

void print(const std::string& name, const Score& score) {
  std::printf("%-12s %9zu  %7.3f  %7.3f  %6.3f  %17.3f  %7.3f  %9.0f\n", name.c_str(), score.count, share(score.offered, score.count),
              share(score.applied, score.count), share(score.parses, score.count), share(score.outside, score.applied),
              share(score.revised, score.count), median(score.ms));
}

void add(Score& to, const Score& more) {
  to.count += more.count;
  to.offered += more.offered;
  to.applied += more.applied;
  to.parses += more.parses;
  to.outside += more.outside;
  to.revised += more.revised;
  to.ms.insert(to.ms.end(), more.ms.begin(), more.ms.end());
}

}  // namespace

int evaluate(const Options& options, const Settings& settings) {
  return options.arguments[0] == "implement" ? evaluate_implement(options, settings) : evaluate_infill(options, settings);
}

namespace {

using Scores = std::map<std::string, Score>;  // by language

Score total(const Scores& scores) {
  Score all;
  for (const auto& [language, score] : scores) add(all, score);
  return all;
}

Json figures(const Scores& scores, bool revise) {
  const Score all = total(scores);
  return {{"revise", revise}, {"functions", all.count}, {"offered", share(all.offered, all.count)}, {"applied", share(all.applied, all.count)},
          {"parses", share(all.parses, all.count)}, {"outside_unchanged", share(all.outside, all.applied)},
          {"revised", share(all.revised, all.count)}, {"median_ms", median(all.ms)}};
}

void print(const Scores& scores, bool revise) {
  std::printf("%s revise passes\n", revise ? "with" : "without");
  std::printf("language     functions  offered  applied  parses  outside unchanged  revised  median ms\n");
  for (const auto& [language, score] : scores) print(language, score);
  print("all", total(scores));
}

}  // namespace

int evaluate_implement(const Options& options, const Settings& settings) {
  const auto tasks = read_tasks(options.arguments[1], static_cast<std::size_t>(options.limit.value_or(1 << 30)));
  const auto engine = open_engine(options, settings);
  Sessions sessions(engine, 1);
  const ModelPort model = sessions.port();
  FillOptions fill;
  fill.depth = options.depth.value_or(settings.depth.function.explicit_);
  fill.max_tokens = options.max_tokens.value_or(fill.max_tokens);
  fill.budget.total = settings.context_tokens;
  FillOptions once = fill;
  once.attempts = 1;
  once.passes = 0;

  // Task by task with and without, so that a run that is broken off compares equal tasks, too.
  std::map<bool, Scores> ways;  // by whether revise passes are spent
  if (options.compare_revise || options.no_revise) ways[false];
  if (!options.no_revise) ways[true];
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    for (auto& [revise, scores] : ways) implement(model, tasks[i], revise ? fill : once, scores[tasks[i].language]);
    if ((i + 1) % 10 == 0) std::fprintf(stderr, "\r%zu of %zu", i + 1, tasks.size());
  }
  std::fprintf(stderr, "\r%zu of %zu\n", tasks.size(), tasks.size());
  Json rows = Json::array();
  for (const auto& [revise, scores] : ways) {
    rows.push_back(figures(scores, revise));
    if (!options.json) print(scores, revise);
  }
  if (!options.json) return 0;
  Json out = {{"file", options.arguments[1]}, {"model", engine->info().model_dir}, {"depth", fill.depth}, {"ways", rows}};
  if (ways.size() == 1) out.update(rows[0]);
  std::puts(to_text(out).c_str());
  return 0;
}

}  // namespace lsp
