// `loopd eval infill`: fills the holes of a benchmark at every depth and compares with what stood there.
#include <algorithm>
#include <cctype>
#include <chrono>
#include <cstdio>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <zlib.h>

#include <nlohmann/json.hpp>

#include "context/prompt.h"
#include "lsp/commands/commands.h"
#include "lsp/commands/open_model.h"
#include "lsp/completion.h"
#include "lsp/infill_score.h"
#include "lsp/json_rpc.h"
#include "lsp/sessions.h"

namespace lsp {
namespace {

struct Task {
  std::string id;
  std::string path;
  std::string language;
  std::string prefix, suffix, reference;
};

// Lines of a file, which may be compressed.
std::vector<std::string> read_lines(const std::string& path) {
  const std::unique_ptr<gzFile_s, int (*)(gzFile)> file(gzopen(path.c_str(), "rb"), gzclose);
  if (!file) throw std::runtime_error(path + ": cannot be read");
  std::string text;
  std::vector<char> chunk(1 << 16);
  int got = 0;
  while ((got = gzread(file.get(), chunk.data(), static_cast<unsigned>(chunk.size()))) > 0) {
    text.append(chunk.data(), static_cast<std::size_t>(got));
  }
  if (got < 0) throw std::runtime_error(path + ": is cut off or no gzip file");
  std::vector<std::string> lines;
  for (std::size_t start = 0; start < text.size();) {
    const std::size_t end = std::min(text.find('\n', start), text.size());
    if (end > start) lines.push_back(text.substr(start, end - start));
    start = end + 1;
  }
  return lines;
}

// At most `limit` tasks, spread evenly over the file, since such files are ordered by language or project.
std::vector<Task> read_tasks(const std::string& path, std::size_t limit) {
  std::vector<Task> tasks;
  const auto lines = read_lines(path);
  const std::size_t wanted = std::min(limit, lines.size());
  for (std::size_t n = 0; n < wanted; ++n) {
    const std::size_t i = n * lines.size() / wanted;
    const std::string where = path + ", line " + std::to_string(i + 1) + ": ";
    const Json json = Json::parse(lines[i], nullptr, false);
    if (!json.is_object()) throw std::runtime_error(where + "is no JSON object");
    const auto text = [&](const char* key, bool required) {
      const auto found = json.find(key);
      if (found != json.end() && found->is_string()) return found->get<std::string>();
      if (required) throw std::runtime_error(where + "needs a string \"" + key + "\"");
      return std::string();
    };
    tasks.push_back({text("task_id", false), text("path", false), text("language", false), text("prompt", true),
                     text("suffix", true), text("canonical_solution", true)});
    Task& task = tasks.back();
    if (task.path.empty()) task.path = "task.py";  // HumanEval infilling names none
    // An editor's caret stands in a line whose end is there already; so the line break that ends a hole stays outside.
    if (task.reference.ends_with('\n')) {
      task.reference.pop_back();
      task.suffix.insert(0, 1, '\n');
    }
  }
  if (tasks.empty()) throw std::runtime_error(path + ": holds no task");
  return tasks;
}

CompletionInput input_for(const Task& task, int depth, int max_tokens, std::size_t search_tokens) {
  CompletionInput input;
  input.session = "eval";
  input.path = task.path;
  input.language = context::detect_language(task.language, task.path);
  input.document = std::make_shared<const context::Document>(task.prefix + task.suffix, 1);
  input.offset = task.prefix.size();
  input.explicit_request = true;
  input.options.depth = depth;
  input.options.max_tokens = max_tokens;
  input.options.search_tokens = search_tokens;
  input.options.comments = true;
  return input;
}

// A hole inside one line is done where the line is; benchmarks of single lines count it so.
bool line_is_done(std::string_view text) {
  const std::size_t start = text.find_first_not_of(" \t\r\n");
  return start != std::string_view::npos && text.find('\n', start) != std::string_view::npos;
}

// The prompt that completions would build, in the window that leaves room for the answer.
context::Prompt prompt_of(const ModelPort& model, const CompletionInput& input, int max_tokens) {
  context::PromptBudget budget;
  const std::size_t reserved = static_cast<std::size_t>(max_tokens) + 32;
  budget.total = std::min(budget.total, model.context > reserved + 64 ? model.context - reserved : 64);
  return context::build_prompt(*input.document, input.offset, input.path, {}, budget, model.count);
}

// What the model alone writes: no trimming, and no stop rule but the end of the line where the hole lies in one. The
// prompt window is the one completions use.
FilledHole fill(const ModelPort& model, const CompletionInput& input, const Task& task, float adaptive) {
  const int max_tokens = input.options.max_tokens;
  const auto prompt = prompt_of(model, input, max_tokens);
  inference::GenerateParams params;
  params.depth = *input.options.depth;
  params.max_tokens = max_tokens;
  params.adaptive = adaptive;
  const bool one_line = task.reference.find('\n') == std::string::npos;
  if (one_line) {
    params.stop_rule = line_is_done;
    params.search_tokens = input.options.search_tokens;
  }
  const auto result = model.generate(input.session, {prompt.path, {}, prompt.prefix, prompt.suffix}, params, {});
  const std::size_t line_end = one_line && line_is_done(result.text) ? result.text.find('\n', result.text.find_first_not_of(" \t\r\n")) : std::string::npos;
  return {result.text.substr(0, line_end), result.finish == inference::FinishReason::end_token,
          result.timings.prefill_ms + result.timings.decode_ms, result.timings.decode_ms, result.tokens.size(), result.timings.early_tokens, false};
}

// What an editor would show, for --shown.
FilledHole fill_shown(const ModelPort& model, CompletionInput input, bool revise) {
  if (!revise) input.options.passes = 0;
  const Completion completion = complete(model, input, {});
  const bool revised = std::any_of(completion.steps.begin(), completion.steps.end(), [](const LoopStep& step) { return step.kind == StepKind::revise; });
  return {completion.text, completion.finish_reason == inference::name(inference::FinishReason::end_token), completion.timings.total,
          completion.timings.decode, completion.timings.generated_tokens, 0, revised};
}

// Prompts as token ids, and the bytes that the answer must begin with: for judging the same tasks with other engines.
void print_prompts(const inference::Engine& engine, const ModelPort& model, const std::vector<Task>& tasks, int max_tokens) {
  for (const Task& task : tasks) {
    const auto prompt = prompt_of(model, input_for(task, 1, max_tokens, 0), max_tokens);
    const auto encoded = engine.encode_fim({prompt.path, {}, prompt.prefix, prompt.suffix});
    std::puts(to_text({{"task_id", task.id}, {"language", task.language}, {"tokens", encoded.tokens},
                       {"forced", encoded.forced}, {"canonical_solution", task.reference}}).c_str());
  }
}

// One task at one depth, for whoever compares depths task by task.
void print_case(const Task& task, int depth, const FilledHole& hole) {
  InfillScore one;
  one.add(task.reference, hole);
  std::puts(to_text({{"task_id", task.id}, {"language", task.language}, {"depth", depth}, {"nontrivial", one.nontrivial_count == 1},
                     {"exact", one.exact == 1}, {"edit_similarity", one.similarity}, {"ended", hole.ended}, {"ms", hole.ms}}).c_str());
}

Json figures(const InfillScore& score) {
  return {
          {"count", score.count},
          {"exact_match", score.exact_match()},
          {"nontrivial_count", score.nontrivial_count},
          {"nontrivial_exact_match", score.nontrivial_exact_match()},
          {"edit_similarity", score.edit_similarity()},
          {"end_rate", score.end_rate()},
          {"median_ms", score.median_ms()},
          {"ms_per_token", score.ms_per_token()},
          {"early_tokens", score.early_rate()},
          {"empty", score.empty},
          {"revised", score.revised}};
}

// How the tasks are filled at one depth.
struct Way {
  int depth = 1;
  bool revise = true;  // where it is shown
  InfillScore score{};
  std::map<std::string, InfillScore> by_language{};
};

std::vector<Way> ways_of(const Options& options, int most) {
  if (options.compare_revise && !options.shown) throw UsageError("--compare-revise needs --shown: what the model alone writes is not revised");
  std::vector<int> depths = options.depths;
  for (int depth = 1; options.depths.empty() && depth <= most; ++depth) depths.push_back(depth);
  std::vector<Way> ways;
  for (const int depth : depths) {
    if (depth > most) throw std::runtime_error("--depths: this model has depths 1 to " + std::to_string(most));
    if (options.compare_revise) ways.push_back({depth, false});
    ways.push_back({depth, !options.no_revise});
  }
  return ways;
}

void fill_all(const std::shared_ptr<const inference::Engine>& engine, const std::vector<Task>& tasks, const Options& options, int max_tokens,
              std::size_t search_tokens, Way& way) {
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    // A new session for each task, which begins with an empty cache.
    Sessions sessions(engine, 1);
    const ModelPort model = sessions.port();
    const CompletionInput input = input_for(tasks[i], way.depth, max_tokens, search_tokens);
    const FilledHole hole = options.shown ? fill_shown(model, input, way.revise) : fill(model, input, tasks[i], options.adaptive);
    way.score.add(tasks[i].reference, hole);
    if (options.cases) print_case(tasks[i], way.depth, hole);
    if (!tasks[i].language.empty()) way.by_language[tasks[i].language].add(tasks[i].reference, hole);
    if ((i + 1) % 20 == 0) std::fprintf(stderr, "\rdepth %d: %zu of %zu", way.depth, i + 1, tasks.size());
  }
  std::fprintf(stderr, "\rdepth %d: %zu of %zu\n", way.depth, tasks.size(), tasks.size());
}

Json report_of(const Way& way, const Options& options) {
  Json row = {{"depth", way.depth}};
  if (options.shown) row["revise"] = way.revise;
  row.update(figures(way.score));
  for (const auto& [language, part] : way.by_language) row["languages"][language] = figures(part);
  return row;
}

void print(const Way& way, const Options& options) {
  const InfillScore& score = way.score;
  std::printf("%5d  %5zu  %.3f  %11.3f  %10.3f  %.3f  %9.1f  %8.2f", way.depth, score.count, score.exact_match(), score.nontrivial_exact_match(),
              score.edit_similarity(), score.end_rate(), score.median_ms(), score.ms_per_token());
  if (options.adaptive > 0) std::printf("  %.3f of the tokens from earlier loops", score.early_rate());
  if (options.shown) std::printf("  %s revise passes: %zu revised, %zu empty", way.revise ? "with" : "without", score.revised, score.empty);
  std::printf("\n");
  std::fflush(stdout);
}

}  // namespace

int evaluate_infill(const Options& options, const Settings& settings) {
  const std::string& path = options.arguments[1];
  const auto tasks = read_tasks(path, static_cast<std::size_t>(options.limit.value_or(1 << 30)));
  inference::EngineOptions wanted = engine_options(options, settings);
  wanted.prefix_cache_mb = 0;  // no depth profits from what another has computed for the same task
  const auto engine = inference::Engine::load(wanted);
  std::vector<Way> ways = ways_of(options, engine->info().max_depth);
  const int max_tokens = options.max_tokens.value_or(128);
  const std::size_t search_tokens = options.search ? static_cast<std::size_t>(*options.search) : settings.search_tokens;
  if (options.print_prompts) {
    Sessions sessions(engine, 1);
    print_prompts(*engine, sessions.port(), tasks, max_tokens);
    return 0;
  }

  Json results = Json::array();
  if (!options.json && !options.cases) std::printf("depth  tasks  exact  non-trivial  similarity  ended  median ms  ms/token\n");
  for (Way& way : ways) {
    fill_all(engine, tasks, options, max_tokens, search_tokens, way);
    results.push_back(report_of(way, options));
    if (!options.json && !options.cases) print(way, options);
  }
  if (options.json && !options.cases) {
    std::puts(to_text({{"file", path}, {"model", engine->info().model_dir}, {"device", engine->info().device},
                       {"shown", options.shown}, {"adaptive", options.adaptive}, {"search", search_tokens}, {"depths", results}}).c_str());
  }
  return 0;
}

}  // namespace lsp
