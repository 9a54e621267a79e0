// Code actions: which of them apply at a place, by syntax alone, and what each of them does.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "context/document.h"
#include "context/language.h"
#include "context/syntax.h"
#include "lsp/actions/fill.h"

namespace lsp {

enum class ActionKind {
  implement,        // the function at the cursor, whose body is a placeholder
  continue_selection,
  rewrite,          // the code below a comment, from the comment
  add_tests,
  document,         // add a docstring or a comment above
  fix_diagnostic,
  repair,           // find the fault in the selection and mend it
  explain_last,     // the last suggestion and what each loop did for it
  generate_module,
};

// Name for commands and data ("implement"); and back, nothing where there is no such action.
std::string_view name(ActionKind kind);
std::optional<ActionKind> action_named(std::string_view name);
// The LSP CodeActionKind: "refactor.rewrite", "quickfix" or "source".
std::string_view code_action_kind(ActionKind kind);

// A diagnostic of the client; bytes of the document.
struct Diagnosed {
  std::size_t start = 0;
  std::size_t end = 0;
  std::string message;
  std::size_t index = 0;  // in the client's list
};

struct ActionOffer {
  ActionKind kind = ActionKind::implement;
  std::string title;
  std::size_t start = 0;  // of the selection it was offered for; bytes
  std::size_t end = 0;
  std::optional<Diagnosed> diagnosed;
};

struct ActionPlace {
  std::shared_ptr<const context::Document> document;
  context::Language language = context::Language::none;
  std::string file;  // absolute path; empty where the document is no file
  std::string path;  // as shown to the model
  std::size_t start = 0;  // selection, bytes; an empty one is a cursor
  std::size_t end = 0;
};

// What may be offered. Runs on the event loop: looks at syntax, never at the model.
std::vector<ActionOffer> offer_actions(const ActionPlace& place, const context::SyntaxTree* tree,
                                       const std::vector<Diagnosed>& diagnostics, bool has_suggestion);

// One replacement of bytes [start, end).
struct TextChange {
  std::size_t start = 0;
  std::size_t end = 0;
  std::string text;
};

// Changes of one file. A file to be created has one change, its whole text; it must not exist yet.
struct FileChange {
  std::string file;  // absolute path; empty: the document that the action was asked for
  bool create = false;
  std::vector<TextChange> changes;
  std::string uri;  // of the document, where `file` is empty
  std::shared_ptr<const context::Document> document;  // what the offsets are of; null: what `file` holds
};

struct ActionResult {
  std::vector<FileChange> changes;  // empty where nothing is to be changed; `explain` says why
  bool cancelled = false;
  std::string text;  // what was written, all of it
  int depth = 0;
  std::vector<LoopStep> steps;
  std::vector<std::string> explain;
  std::string finish_reason;
  CompletionTimings timings;
};

// Reads a file of the workspace; nothing where there is none.
using ReadFile = std::function<std::optional<std::string>(const std::string& file)>;

// Runs every action but explain_last and generate_module. Whatever comes back parses no worse than what was there, and
// leaves every byte outside of the changes as it was.
ActionResult run_action(const ModelPort& model, const ActionOffer& offer, const ActionPlace& place, const FillOptions& options,
                        const ReadFile& read_file, std::stop_token stop);

}  // namespace lsp
