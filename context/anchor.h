// Keeps the beginning of a document's prompts as it was while somebody types, so that a key adds tokens at the end only.
//
// A prompt is laid out as other files, suffix, prefix: what stands first must not change, or all behind it is computed
// again. Typing changes more than the end of the prefix: editors put closing brackets behind the cursor, windows slide,
// and other passages of other files begin to look similar. An anchor holds all that still until the text itself has
// changed, or until somebody has the time to choose anew.
#pragma once

#include <array>
#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "context/document.h"
#include "context/prompt.h"

namespace context {

// One beginning, and how to find it again.
struct Anchor {
  bool chosen = false;
  PromptBudget budget;             // that it was chosen for
  Prompt prompt;                   // as it was chosen
  std::size_t start = 0;           // where its prefix began
  std::size_t document_size = 0;   // bytes
  std::size_t line = 0;            // of the cursor
  bool suffix_is_rest = false;     // its suffix went to the document's end
  std::size_t prefix_most = 0;     // tokens that the prefix may grow to
  std::size_t counted_bytes = 0;   // of a prefix whose tokens were counted, not the longest necessarily
  std::size_t counted_tokens = 0;
};

// Of one document: two, so that an edit elsewhere and the way back cost nothing, and a newer beginning can be made ready
// while the older one serves. Each stands for a cache of its own.
struct Anchors {
  std::array<Anchor, 2> places;
  std::size_t latest = 0;
};

struct Anchored {
  enum class Choice { kept, first, elsewhere, full };
  Prompt prompt;
  std::size_t place = 0;          // of `Anchors::places`
  Choice choice = Choice::kept;   // anything but `kept`: that place was chosen anew, and why
  bool aged = false;              // it would look different if chosen now: for idle moments
};

struct PromptRequest {
  const Document& document;
  std::size_t offset;
  const std::string& path;
  const std::function<std::vector<Snippet>()>& candidates;  // called only where a beginning is chosen
  const PromptBudget& budget;
  const TokenCounter& count;
};

// The prompt at a cursor, with a kept beginning where that is still true of the text: its suffix stands behind the cursor,
// with nothing but closing brackets, quotes and blanks between (the model then writes those itself, and trimming against
// the document takes them out again). Else as build_prompt() makes it, with room left to type on. The prefix always ends
// at the cursor, byte for byte.
Anchored anchored_prompt(Anchors& anchors, const PromptRequest& request);

// The same, chosen anew in the place that does not serve now, which then becomes the latest.
Anchored renewed_prompt(Anchors& anchors, const PromptRequest& request);

}  // namespace context
