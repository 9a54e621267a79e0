// Chooses the text a completion sees: the window around the cursor and snippets of other files, within a token budget.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "context/document.h"

namespace context {

// Tokens in a piece of text. The model's tokenizer comes in as a function because this room knows no model.
using TokenCounter = std::function<std::size_t(std::string_view)>;

struct Snippet {
  std::string path;  // as shown to the model, relative to the workspace
  std::string text;
};

struct PromptBudget {
  std::size_t total = 2048;   // tokens of prompt, generation not included
  std::size_t suffix = 384;   // at most, of the total
  std::size_t snippets = 512;  // at most, of the total
};

// What the FIM template is filled from. Prefix ends and suffix starts at the cursor, byte for byte.
struct Prompt {
  std::string path;
  std::vector<Snippet> snippets;  // least relevant first, so that the nearest text is the most relevant
  std::string prefix;
  std::string suffix;
};

// The prefix starts at a line whose number is a multiple of 32 (less where the budget is small), and the suffix ends
// where the budget for it is full, so that typing changes only the end of the prefix: laid out as snippets, suffix,
// prefix, a cache that matches the longest common prefix of tokens then recomputes one or two tokens a keystroke.
// Texts are counted in pieces of whole lines, so `count` must not give a whole more than its pieces together. An
// `offset` inside a character moves to its start.
Prompt build_prompt(const Document& document, std::size_t offset, std::string path,
                    const std::vector<Snippet>& candidates, const PromptBudget& budget, const TokenCounter& count);

}  // namespace context
