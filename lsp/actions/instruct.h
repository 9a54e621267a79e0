// Fills a hole by asking a model that follows instructions: one question, one block of code.
#pragma once

#include <stop_token>
#include <string>
#include <string_view>

#include "lsp/completion.h"

namespace lsp {

// What is asked for, in a sentence.
struct Wish {
  std::string text;       // "Write the body of area."
  std::string complaint;  // of the last answer; empty: there was none
  bool one_line = false;
};

// The question: the text around `input.offset` with a mark at it. `model` counts tokens, so that it fits.
std::string question(const ModelPort& model, const CompletionInput& input, const Wish& wish);

// The code of an answer as it goes behind `before`, the text in front of the hole: without fences, without what `before`
// ends with, indented like it.
std::string code_of_answer(std::string_view answer, std::string_view before, bool one_line);

// Asks, and gives what the model wrote as a draft with its trace. `model.answer` must be set.
Completion draft_by_asking(const ModelPort& model, const CompletionInput& input, const Wish& wish, std::stop_token stop);

}  // namespace lsp
