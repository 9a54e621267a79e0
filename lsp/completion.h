// A completion from cursor to checked text: the spine of loopd. Read completion.cpp first; it names every other part.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "context/anchor.h"
#include "context/cursor.h"
#include "context/depth.h"
#include "context/document.h"
#include "context/language.h"
#include "context/prompt.h"
#include "context/snippets.h"
#include "context/syntax.h"
#include "inference/engine.h"

namespace lsp {

// Says when generation has all that may be shown. A value rather than any function, so that it can be sent to an engine
// in another process (wire.h).
struct StopRule {
  context::Cursor cursor;
  std::string line_prefix;
  std::string kept;  // text of an earlier pass, in front of what is generated
  bool operator()(std::string_view generated) const;
};

// What a completion asks of a model. The server fills it from an inference::Engine (sessions.h), tests from a script.
struct ModelPort {
  int max_depth = 1;
  std::size_t context = 2048;  // tokens, prompt and generation together
  context::TokenCounter count;
  std::function<std::size_t(inference::TokenId)> token_bytes;  // bytes that a token stands for
  // Fills in the middle. `session` names the timeline whose cache to use: the document.
  std::function<inference::GenerateResult(const std::string& session, const inference::FimPrompt& prompt,
                                          const inference::GenerateParams& params, std::stop_token stop)>
      generate;
  // Answers an instruction. Null where the model was not trained to; then it fills in the middle, whatever is wanted.
  std::function<inference::GenerateResult(const std::string& session, const std::string& system, const std::string& user,
                                          const inference::GenerateParams& params, std::stop_token stop)>
      answer;
  // Only makes the cache ready for the same prompt.
  std::function<void(const std::string& session, const inference::FimPrompt& prompt, int depth, std::stop_token stop)>
      prefill;
};

struct CompletionOptions {
  context::DepthPolicy policy;
  std::optional<int> depth;    // overrides the policy
  int max_tokens = 96;
  context::PromptBudget budget;
  std::size_t snippet_count = 4;
  bool comments = false;       // complete inside comments and strings
  bool single_line = false;    // the client can insert only one line
  std::optional<int> passes;   // revise passes that may be spent; none: what the depth leaves over, and one if asked for
  std::vector<inference::TokenId> banned_first;  // the draft begins with none of these: another one than the likeliest
  float temperature = 0;       // above 0: another draft than the likeliest, for a second try
  std::uint64_t seed = 0;
  // Where one line is wanted: tokens that may be spent on finding a likelier one than the greedy; see bench/README.md.
  std::size_t search_tokens = 24;
  bool speculate = true;       // check guessed tokens where that pays; never changes the text
  std::chrono::milliseconds deadline{0};  // from the start of complete(); 0: none
};

struct CompletionInput {
  std::string session;  // names the document's timeline, e.g. its URI
  std::string path;     // as shown to the model, relative to the workspace
  context::Language language = context::Language::none;
  std::shared_ptr<const context::Document> document;
  std::shared_ptr<context::SyntaxTracker> syntax;  // may be null: the document is parsed from nothing
  std::size_t offset = 0;                          // bytes
  bool explicit_request = false;                   // the user asked, rather than typed
  std::vector<context::OtherFile> others;          // most recently touched last
  // How the document's prompts begin, kept from request to request on a lane of the scheduler; null: nothing is kept. Each of
  // its places has a timeline of its own.
  std::shared_ptr<context::Anchors> anchors;
  // Nobody has asked yet: others are computed for first, and a prompt that would have to begin anew is left alone.
  bool ahead = false;
  CompletionOptions options;
};

enum class StepKind { draft, verify, revise };
std::string_view name(StepKind kind);

// One entry of the trace: what a stretch of text cost, and how it came to be.
struct LoopStep {
  int step = 1;
  std::string focus;  // "condition", "call", ...; "parse" for a verify step
  StepKind kind = StepKind::draft;
  int depth = 1;      // loops; 0 for verify, which runs no model
  std::size_t tokens_generated = 0;
  std::size_t tokens_revised = 0;
  double ms = 0;
  std::size_t tokens_drafted = 0;   // guesses that were checked on the way
  std::size_t tokens_accepted = 0;  // of them, what the model went on with
};

struct CompletionTimings {
  double parse = 0;    // tree and cursor, ms
  double prompt = 0;   // snippets and window
  double prefill = 0;  // model, tokens of the prompt that were not in the cache
  double decode = 0;   // model, generated tokens
  double check = 0;    // trimming and parser check
  double total = 0;
  std::size_t prompt_tokens = 0;
  std::size_t reused_tokens = 0;      // of the prompt, found in the cache
  std::size_t computed_tokens = 0;    // of the prompt, by this request
  std::size_t prefetched_tokens = 0;  // of this and other prompts of the document, computed since the answer before
  std::size_t generated_tokens = 0;
  std::size_t drafted_tokens = 0;     // guesses at generated tokens that were checked
  std::size_t accepted_tokens = 0;    // of them, those that were right
};

struct Completion {
  std::string text;               // to insert at the cursor; empty: nothing to show
  std::size_t replace_after = 0;  // bytes behind the cursor, on its line, that `text` replaces
  context::SyntaxClass syntax_class = context::SyntaxClass::none;
  int depth = 0;                  // loops per token
  double probability = 0;         // that the model gives to `text`; 0 where a revise pass had a hand in it
  std::optional<inference::TokenId> first_token;  // that the first draft began with; none where there was no draft
  std::vector<LoopStep> steps;
  std::string finish_reason;      // inference::name(FinishReason), or "off" where no model ran
  CompletionTimings timings;
  std::vector<std::string> explain;  // why this class, this depth, this cut, this silence: one sentence each
};

// Never throws for what the text or the cursor is; the model's errors pass through.
Completion complete(const ModelPort& model, const CompletionInput& input, std::stop_token stop);

}  // namespace lsp
