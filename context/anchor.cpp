// Finds a kept suffix and a kept prefix start in a text that has been typed in since.
#include "context/anchor.h"

#include <algorithm>
#include <optional>
#include <string_view>

namespace context {
namespace {

// More than this is not what an editor adds by itself.
constexpr std::size_t hidden_most = 200;
// Bytes by which the start of a prefix is recognised.
constexpr std::size_t head_bytes = 256;
// Lines that somebody may type before passages of other files are worth choosing again.
constexpr std::size_t lines_until_aged = 24;

// The part of the budget that stays free when an anchor is chosen, so that typing fills it before anything slides.
std::size_t room_to_type(const PromptBudget& budget) { return budget.total / 8; }

bool is_closer_or_blank(char c) { return std::string_view(" \t\r\n)]}>\"'`;,").find(c) != std::string_view::npos; }

bool same(const PromptBudget& a, const PromptBudget& b) {
  return a.total == b.total && a.suffix == b.suffix && a.snippets == b.snippets;
}

// Bytes between the cursor and the kept suffix, where that is what the editor added; else nothing.
std::optional<std::size_t> hidden_before_suffix(const Anchor& anchor, std::string_view behind) {
  const std::string_view suffix = anchor.prompt.suffix;
  for (std::size_t hidden = 0; hidden <= std::min(behind.size(), hidden_most); ++hidden) {
    if (hidden > 0 && !is_closer_or_blank(behind[hidden - 1])) return std::nullopt;
    const bool reaches_end = hidden + suffix.size() == behind.size();
    if ((reaches_end || !anchor.suffix_is_rest) && behind.substr(hidden, suffix.size()) == suffix) return hidden;
  }
  return std::nullopt;
}

// Where the kept prefix begins now: where it did, or as much further on as the text above has grown.
std::optional<std::size_t> start_now(const Anchor& anchor, std::string_view text, std::size_t offset) {
  const std::string_view head = std::string_view(anchor.prompt.prefix).substr(0, head_bytes);
  for (const std::size_t start : {anchor.start, anchor.start + text.size() - anchor.document_size}) {
    if (start > offset) continue;
    const std::size_t length = std::min(head.size(), offset - start);
    if (text.substr(start, length) == head.substr(0, length)) return start;
  }
  return std::nullopt;
}

// Tokens of the prefix, or more. A byte is a token at most, so that a few more bytes need no counting.
std::size_t prefix_tokens(Anchor& anchor, std::string_view prefix, const TokenCounter& count) {
  const std::size_t more = prefix.size() - std::min(prefix.size(), anchor.counted_bytes);
  if (prefix.size() < anchor.counted_bytes || anchor.counted_tokens + more > anchor.prefix_most) {
    anchor.counted_bytes = prefix.size();
    anchor.counted_tokens = count(prefix);
    return anchor.counted_tokens;
  }
  return anchor.counted_tokens + more;
}

void choose(Anchor& anchor, const Document& document, std::size_t offset, const std::string& path,
            const std::vector<Snippet>& candidates, const PromptBudget& budget, const TokenCounter& count) {
  PromptBudget with_room = budget;
  with_room.total -= room_to_type(budget);
  anchor = {};
  anchor.chosen = true;
  anchor.budget = budget;
  anchor.prompt = build_prompt(document, offset, path, candidates, with_room, count);
  anchor.start = offset - anchor.prompt.prefix.size();
  anchor.document_size = document.text().size();
  anchor.line = document.line_of(offset);
  anchor.suffix_is_rest = offset + anchor.prompt.suffix.size() == anchor.document_size;
  std::size_t others = count(path) + count(anchor.prompt.suffix);
  for (const Snippet& snippet : anchor.prompt.snippets) others += count(snippet.path) + count(snippet.text);
  anchor.prefix_most = budget.total - std::min(budget.total, others);
  anchor.counted_bytes = anchor.prompt.prefix.size();
  anchor.counted_tokens = count(anchor.prompt.prefix);
}

}  // namespace

Anchored anchored_prompt(Anchor& anchor, const Document& document, std::size_t offset, const std::string& path,
                         const std::function<std::vector<Snippet>()>& candidates, const PromptBudget& budget,
                         const TokenCounter& count) {
  const std::string_view text = document.text();
  offset = std::min(offset, text.size());
  while (offset > 0 && offset < text.size() && (static_cast<unsigned char>(text[offset]) & 0xC0) == 0x80) --offset;

  Anchored result;
  const bool usable = anchor.chosen && same(anchor.budget, budget) && anchor.prompt.path == path;
  const auto hidden = usable ? hidden_before_suffix(anchor, text.substr(offset)) : std::nullopt;
  const auto start = hidden ? start_now(anchor, text, offset) : std::nullopt;
  if (start) {
    const std::string_view prefix = text.substr(*start, offset - *start);
    const std::size_t tokens = prefix_tokens(anchor, prefix, count);
    // What was deleted may leave a stump of a prefix while more stands above it.
    const bool stump = *start > 0 && tokens * 4 < anchor.prefix_most && prefix.size() < anchor.prompt.prefix.size() / 2;
    if (tokens <= anchor.prefix_most && !stump) {
      const std::string_view between = text.substr(offset, *hidden);
      const std::size_t line = document.line_of(offset);
      const std::size_t typed_lines = std::max(line, anchor.line) - std::min(line, anchor.line);
      result.prompt = anchor.prompt;
      result.prompt.prefix = prefix;
      result.aged = between.find('\n') != std::string_view::npos || *start != anchor.start || typed_lines >= lines_until_aged ||
                    anchor.prefix_most - tokens < room_to_type(budget) / 3;
      return result;
    }
    result.choice = Anchored::Choice::full;
  } else {
    result.choice = anchor.chosen ? Anchored::Choice::elsewhere : Anchored::Choice::first;
  }
  choose(anchor, document, offset, path, candidates(), budget, count);
  result.prompt = anchor.prompt;
  return result;
}

}  // namespace context
