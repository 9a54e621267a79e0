// Fills the token budget: the suffix first, then snippets, then as much of the prefix as is left.
#include "context/prompt.h"

#include <algorithm>
#include <array>

namespace context {

namespace {

bool is_continuation(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

struct Piece {
  std::size_t edge = 0;   // offset where the piece starts (prefix) or ends (suffix)
  std::size_t tokens = 0;
};

// The largest n <= `limit` for which `fits(n)`, which holds up to some n and then no more.
template <typename Fits>
std::size_t largest(std::size_t limit, const Fits& fits) {
  std::size_t low = 0;
  while (low < limit) {
    const std::size_t middle = low + (limit - low + 1) / 2;
    if (fits(middle)) {
      low = middle;
    } else {
      limit = middle - 1;
    }
  }
  return low;
}

// Whole lines behind the cursor while they fit. Everything that is typed stands above this text, so its end moves only
// when the text itself changes.
Piece take_suffix(const Document& document, std::size_t offset, std::size_t budget, const TokenCounter& count) {
  const std::string_view text = document.text();
  Piece piece{offset, 0};
  for (std::size_t line = document.line_of(offset); line < document.line_count(); ++line) {
    const std::size_t end = document.line_start(line + 1);
    const std::size_t tokens = count(text.substr(piece.edge, end - piece.edge));
    if (piece.tokens + tokens > budget) {
      break;
    }
    piece = {end, piece.tokens + tokens};
  }
  if (piece.edge > offset || offset == text.size()) {
    return piece;
  }
  // The rest of the cursor's line alone is too long: cut it at a character.
  const std::size_t end = document.line_start(document.line_of(offset) + 1);
  const auto cut = [&](std::size_t bytes) {
    std::size_t edge = offset + bytes;
    while (edge > offset && edge < text.size() && is_continuation(text[edge])) {
      --edge;
    }
    return edge;
  };
  const std::size_t bytes = largest(std::min(end - offset, budget * 16), [&](std::size_t n) {
    return count(text.substr(offset, cut(n) - offset)) <= budget;
  });
  piece.edge = cut(bytes);
  piece.tokens = count(text.substr(offset, piece.edge - offset));
  return piece;
}

// Lines before the cursor in groups of `step`, counted from the top of the file, while they fit: typing leaves the edge
// alone until the budget is full, and then it jumps a whole group.
Piece take_prefix_lines(const Document& document, std::size_t offset, std::size_t step, std::size_t budget,
                        const TokenCounter& count) {
  const std::string_view text = document.text();
  Piece piece{offset, 0};
  std::size_t line = document.line_of(offset);
  for (line -= line % step;; line -= step) {
    const std::size_t start = document.line_start(line);
    const std::size_t tokens = count(text.substr(start, piece.edge - start));
    if (piece.tokens + tokens > budget) {
      return piece;
    }
    piece = {start, piece.tokens + tokens};
    if (line == 0) {
      return piece;
    }
  }
}

// The end of a single line that is longer than the budget, from an edge that moves in steps of a quarter of what fits.
Piece take_prefix_bytes(const Document& document, std::size_t offset, std::size_t budget, const TokenCounter& count) {
  const std::string_view text = document.text();
  const std::size_t line_start = document.line_start(document.line_of(offset));
  const auto cut = [&](std::size_t edge) {
    while (edge < offset && is_continuation(text[edge])) {
      ++edge;
    }
    return edge;
  };
  for (std::size_t step = 1024;; step /= 2) {
    // Steps are counted from the line's start, so that they stay where they are while its end is typed.
    const std::size_t last = (offset - line_start) / step;
    const std::size_t steps = largest(std::min(last, budget * 16 / step), [&](std::size_t n) {
      const std::size_t edge = cut(line_start + (last - n) * step);
      return count(text.substr(edge, offset - edge)) <= budget;
    });
    const std::size_t edge = cut(line_start + (last - steps) * step);
    const std::size_t tokens = count(text.substr(edge, offset - edge));
    if (tokens <= budget && (tokens * 2 >= budget || edge == line_start || step == 1)) {
      return {edge, tokens};
    }
    if (step == 1) {
      return {offset, 0};
    }
  }
}

Piece take_prefix(const Document& document, std::size_t offset, std::size_t budget, const TokenCounter& count) {
  constexpr std::array<std::size_t, 3> steps{32, 8, 1};
  for (const std::size_t step : steps) {
    const Piece piece = take_prefix_lines(document, offset, step, budget, count);
    // Coarse groups may leave much of a small budget unused; then finer ones serve better.
    if (piece.edge == 0 || piece.tokens * 2 >= budget || (step == 1 && piece.edge < offset)) {
      return piece;
    }
  }
  return take_prefix_bytes(document, offset, budget, count);
}

}  // namespace

Prompt build_prompt(const Document& document, std::size_t offset, std::string path,
                    const std::vector<Snippet>& candidates, const PromptBudget& budget, const TokenCounter& count) {
  const std::string_view text = document.text();
  offset = std::min(offset, text.size());
  while (offset > 0 && offset < text.size() && is_continuation(text[offset])) {
    --offset;
  }
  Prompt prompt;
  std::size_t left = budget.total - std::min(budget.total, count(path));
  prompt.path = std::move(path);

  // Half of what there is belongs to the prefix, whatever the two other limits say.
  const Piece suffix = take_suffix(document, offset, std::min(budget.suffix, left / 4), count);
  left -= suffix.tokens;
  std::size_t for_snippets = std::min(budget.snippets, left / 3);
  for (auto candidate = candidates.rbegin(); candidate != candidates.rend(); ++candidate) {
    const std::size_t tokens = count(candidate->path) + count(candidate->text);
    if (tokens <= for_snippets) {
      for_snippets -= tokens;
      left -= tokens;
      prompt.snippets.insert(prompt.snippets.begin(), *candidate);
    }
  }
  const Piece prefix = take_prefix(document, offset, left, count);
  prompt.prefix = text.substr(prefix.edge, offset - prefix.edge);
  prompt.suffix = text.substr(offset, suffix.edge - offset);
  return prompt;
}

}  // namespace context
