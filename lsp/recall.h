// Remembers the last suggestion of each document, so that typing along it needs no model.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "context/document.h"
#include "lsp/completion.h"

namespace lsp {

struct Suggestion {
  std::shared_ptr<const context::Document> document;  // as it was when asked
  std::size_t offset = 0;
  bool explicit_request = false;
  std::vector<Completion> completions;  // the one that is shown first, and what the user may cycle through; not empty
  std::size_t recalled = 0;  // times that a later request was answered from it
};

// What is left of `last` at a new cursor: those suggestions that go on as was typed since, without the part that was. None
// where anything else of the text differs, where all of them was typed, or where the user asks for more than typing got.
std::vector<Completion> recall(const Suggestion& last, const context::Document& document, std::size_t offset, bool explicit_request);

// Whether recall() has anything for a cursor where nobody asked by a key. Called at every key.
bool recalls(const Suggestion& last, const context::Document& document, std::size_t offset);

}  // namespace lsp
