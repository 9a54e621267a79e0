// Remembers the last suggestion of each document, so that typing along it needs no model.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>

#include "context/document.h"
#include "lsp/completion.h"

namespace lsp {

struct Suggestion {
  std::shared_ptr<const context::Document> document;  // as it was when asked
  std::size_t offset = 0;
  bool explicit_request = false;
  Completion completion;
  std::size_t recalled = 0;  // times that a later request was answered from it
};

// What is left of `last` at a new cursor: the suggestion without the part that has been typed since. Nothing where
// anything else of the text differs, where all of it was typed, or where the user asks for more than typing got.
std::optional<Completion> recall(const Suggestion& last, const context::Document& document, std::size_t offset,
                                 bool explicit_request);

}  // namespace lsp
