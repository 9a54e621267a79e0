// Picks passages of other open files that resemble the text around the cursor.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "context/document.h"
#include "context/prompt.h"

namespace context {

struct OtherFile {
  std::string path;
  std::shared_ptr<const Document> document;
};

// Windows of up to 32 lines, ranked by the share of identifiers they have in common with the 40 lines around the
// cursor (Jaccard); at most `count`, most similar last, never two that overlap.
std::vector<Snippet> similar_snippets(const Document& document, std::size_t offset,
                                      const std::vector<OtherFile>& others, std::size_t count);

}  // namespace context
