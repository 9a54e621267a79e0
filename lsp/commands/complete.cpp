// `loopd complete FILE:LINE:COLUMN`: what an editor would show at a cursor, printed in place, with no editor.
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include <unistd.h>

#include <nlohmann/json.hpp>

#include "lsp/commands/commands.h"
#include "lsp/commands/open_model.h"
#include "lsp/completion.h"
#include "lsp/json_rpc.h"
#include "lsp/report.h"
#include "lsp/sessions.h"

namespace lsp {
namespace {

constexpr std::size_t context_lines = 3;

std::shared_ptr<const context::Document> read_document(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (!file || (file.peek() != std::ifstream::traits_type::eof() && !(text << file.rdbuf()))) {
    throw std::runtime_error(path + ": cannot be read");
  }
  return std::make_shared<const context::Document>(text.str(), 1);
}

std::size_t offset_of(const Place& place, const context::Document& document) {
  const std::size_t line = place.line - 1;
  if (line >= document.line_count()) {
    throw std::runtime_error(place.file + " has " + std::to_string(document.line_count()) + " lines, so that there is no line " +
                             std::to_string(place.line));
  }
  const std::size_t length = document.line_end(line) - document.line_start(line);
  if (place.column - 1 > length) {
    throw std::runtime_error(place.file + ":" + std::to_string(place.line) + " has " + std::to_string(length) +
                             " bytes, so that the cursor can be at columns 1 to " + std::to_string(length + 1));
  }
  return document.line_start(line) + place.column - 1;
}

// The lines around the cursor with the suggestion in them: dimmed on a terminal, else between marks.
void print_in_place(const context::Document& document, std::size_t offset, const Completion& completion) {
  const std::string& text = document.text();
  const std::size_t line = document.line_of(offset);
  const std::size_t end = offset + completion.replace_after;
  const std::size_t first = document.line_start(line > context_lines ? line - context_lines : 0);
  const std::size_t last = document.line_end(std::min(line + context_lines, document.line_count() - 1));
  const bool terminal = isatty(STDOUT_FILENO) == 1;
  std::string shown = text.substr(first, offset - first);
  shown += terminal ? "\x1b[2m" : "⟦";
  shown += completion.text;
  shown += terminal ? "\x1b[0m" : "⟧";
  shown += text.substr(end, std::max(last, end) - end);
  std::fwrite(shown.data(), 1, shown.size(), stdout);
  if (shown.empty() || shown.back() != '\n') std::fputc('\n', stdout);
}

void print_summary(const Completion& completion, const inference::EngineInfo& info, bool explain) {
  const CompletionTimings& t = completion.timings;
  std::printf("\n%s, depth %d of %d, %s: %.1f ms (prefill %.1f, decode %.1f for %zu tokens)\n",
              std::string(context::name(completion.syntax_class)).c_str(), completion.depth, info.max_depth,
              completion.finish_reason.c_str(), t.total, t.prefill, t.decode, t.generated_tokens);
  std::fputs(describe_steps(completion.steps).c_str(), stdout);
  if (!explain && !completion.text.empty()) return;
  for (const std::string& sentence : completion.explain) std::printf("  - %s\n", sentence.c_str());
}

}  // namespace

int complete_file(const Options& options, const Settings& settings) {
  const Place place = parse_place(options.arguments[0]);
  CompletionInput input;
  input.document = read_document(place.file);
  input.offset = offset_of(place, *input.document);
  input.session = input.path = place.file;
  input.language = context::detect_language("", place.file);
  input.explicit_request = true;
  input.options.policy = settings.depth;
  input.options.depth = options.depth;
  input.options.max_tokens = options.max_tokens.value_or(settings.max_tokens);
  input.options.search_tokens = settings.search_tokens;
  input.options.budget.total = settings.context_tokens;
  input.options.comments = settings.comments;

  const auto engine = open_engine(options, settings);
  Sessions sessions(engine);
  const Completion completion = complete(sessions.port(), input, {});
  if (options.json) {
    std::puts(to_text(report(completion, input.language, engine->info().model_dir, engine->info().device)).c_str());
  } else {
    print_in_place(*input.document, input.offset, completion);
    print_summary(completion, engine->info(), options.explain);
  }
  return 0;
}

}  // namespace lsp
