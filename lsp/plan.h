// What is fixed before the model runs: the place, the depth it is worth, and the prompt; and making prompts ready ahead.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lsp/completion.h"

namespace lsp {

struct Plan {
  std::shared_ptr<const context::SyntaxTree> tree;
  context::Cursor cursor;
  context::Depth depth;
  context::Prompt prompt;
  std::string timeline;  // the session whose cache holds how the prompt begins
  bool aged = false;     // it would begin differently if chosen now
  std::string line_prefix;
};

// Where the cursor is, from the tree of the input's own text: `tree`, `cursor` and `line_prefix`.
void find_place(const CompletionInput& input, Plan& plan);

// `depth`, from the place's class or as the input wants it, within what the model has.
void choose_depth(const ModelPort& model, const CompletionInput& input, Plan& plan);

// `prompt`, `timeline` and `aged`, with how the document's prompts begin. What nobody asked for may use that, but not move
// it. Says how the beginning was chosen.
context::Anchored::Choice fill_prompt(const ModelPort& model, const CompletionInput& input, Plan& plan);

// The prompt as the model's port takes it, with `prefix` in front of the hole; `segments` keeps what it points to.
inference::FimPrompt fim(const context::Prompt& prompt, std::vector<inference::FimSegment>& segments, std::string_view prefix);

// Puts the prompt of a probable request into the model's cache.
void prepare(const ModelPort& model, const CompletionInput& input, std::stop_token stop);

// For idle moments: where the kept beginning of the prompt has aged, makes a new one ready in the document's other
// timeline, and goes over to it once all of it is computed.
void renew(const ModelPort& model, const CompletionInput& input, std::stop_token stop);

}  // namespace lsp
