// Fills a hole in a text: draft, check, revise; what does not pass the checks is not let out. Code actions and modules
// are made of these.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "context/document.h"
#include "context/language.h"
#include "context/snippets.h"
#include "lsp/completion.h"

namespace lsp {

// Bytes of a text that are to be replaced, and what is known of the replacement: it is `before`, one of `openings`, what
// the model writes, and `after`.
struct Hole {
  std::shared_ptr<const context::Document> document;
  context::Language language = context::Language::none;
  std::string path;  // as shown to the model
  std::size_t start = 0;
  std::size_t end = 0;
  std::string before;
  std::vector<std::string> openings;  // the first for the first draft, the next for the next; the last one stays
  std::string after;
  std::string hint;  // whole lines that the model sees in front of `before`; no part of the replacement
  enum class Until { block, paragraph, line } until = Until::block;
  std::string terminator;  // where it is written, the text ends just before it; empty: nowhere
  std::string wish;        // a sentence for models that follow instructions: "Write the body of area."
  std::string focus;       // what the steps are about where the text is no code: "docstring"
};

// Says what is wrong with a text whose bytes [start, end) are new, in one line; empty where nothing is.
using Complaint = std::function<std::string(const std::string& text, std::size_t start, std::size_t end)>;

struct FillOptions {
  std::string session = "loopd/fill";  // the timeline whose cache is used
  int depth = 4;         // wanted; loops that the model lacks become revise passes
  int max_tokens = 256;
  int attempts = 3;      // drafts at most
  std::optional<int> passes;  // revise passes inside a draft; 0 with `attempts` 1: none at all
  context::PromptBudget budget;
  std::vector<context::OtherFile> others;
  std::size_t snippet_count = 4;
  bool external_check = false;  // code actions also ask the language's own tool: external_check.h
  std::vector<Complaint> complaints;  // asked in order, after the parser
  std::function<void(const std::string& doing)> progress;  // "implement area: draft 2"
};

struct Filled {
  std::string text;  // what replaces the hole; empty where nothing passed
  bool cancelled = false;
  int depth = 0;
  std::vector<LoopStep> steps;
  std::vector<std::string> explain;
  std::string finish_reason;
  CompletionTimings timings;
};

// Never lets out a text with more parse errors than there are outside of the hole. `name` is for progress.
Filled fill(const ModelPort& model, const Hole& hole, const FillOptions& options, const std::string& name, std::stop_token stop);

// Parse errors of `text` with bytes [start, end) replaced.
std::size_t errors_with(context::Language language, const std::string& text, std::size_t start, std::size_t end,
                        const std::string& replacement);

// Adds what another piece of work cost to `to`, its steps numbered on.
void append_steps(std::vector<LoopStep>& to, const std::vector<LoopStep>& more);
void add_timings(CompletionTimings& to, const CompletionTimings& more);

// The same text with the line ends that `document` has.
std::string with_line_ends(const context::Document& document, const std::string& text);

}  // namespace lsp
