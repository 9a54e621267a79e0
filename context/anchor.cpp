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
  if (anchor.start == 0) return 0;  // the document's own, whatever it is now
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

Anchored choose(Anchors& anchors, std::size_t place, Anchored::Choice choice, const PromptRequest& request, std::size_t offset) {
  const Document& document = request.document;
  PromptBudget with_room = request.budget;
  with_room.total -= room_to_type(request.budget);
  Anchor& anchor = anchors.places[place] = {};
  anchors.latest = place;
  anchor.chosen = true;
  anchor.budget = request.budget;
  anchor.prompt = build_prompt(document, offset, request.path, request.candidates(), with_room, request.count);
  anchor.start = offset - anchor.prompt.prefix.size();
  anchor.document_size = document.text().size();
  anchor.line = document.line_of(offset);
  anchor.suffix_is_rest = offset + anchor.prompt.suffix.size() == anchor.document_size;
  std::size_t others = request.count(request.path) + request.count(anchor.prompt.suffix);
  for (const Snippet& snippet : anchor.prompt.snippets) others += request.count(snippet.path) + request.count(snippet.text);
  anchor.prefix_most = request.budget.total - std::min(request.budget.total, others);
  anchor.counted_bytes = anchor.prompt.prefix.size();
  anchor.counted_tokens = request.count(anchor.prompt.prefix);
  return {anchor.prompt, place, choice, false};
}

// The prompt with this beginning: as it is where `choice` is `kept`, else the reason why it cannot be used.
Anchored keep(Anchor& anchor, std::size_t place, const PromptRequest& request, std::size_t offset) {
  const std::string_view text = request.document.text();
  if (!anchor.chosen) return {{}, place, Anchored::Choice::first, false};
  const bool usable = same(anchor.budget, request.budget) && anchor.prompt.path == request.path;
  const auto hidden = usable ? hidden_before_suffix(anchor, text.substr(offset)) : std::nullopt;
  const auto start = hidden ? start_now(anchor, text, offset) : std::nullopt;
  if (!start) return {{}, place, Anchored::Choice::elsewhere, false};
  const std::string_view prefix = text.substr(*start, offset - *start);
  const std::size_t tokens = prefix_tokens(anchor, prefix, request.count);
  // What was deleted may leave a stump of a prefix while more stands above it.
  const bool stump = *start > 0 && tokens * 4 < anchor.prefix_most && prefix.size() < anchor.prompt.prefix.size() / 2;
  if (tokens > anchor.prefix_most || stump) return {{}, place, Anchored::Choice::full, false};
  const std::size_t line = request.document.line_of(offset);
  const std::size_t typed_lines = std::max(line, anchor.line) - std::min(line, anchor.line);
  Anchored kept{anchor.prompt, place, Anchored::Choice::kept, false};
  kept.prompt.prefix = prefix;
  kept.aged = text.substr(offset, *hidden).find('\n') != std::string_view::npos || *start != anchor.start ||
              typed_lines >= lines_until_aged || anchor.prefix_most - tokens < room_to_type(request.budget) / 3;
  return kept;
}

// The start of the character at `offset`.
std::size_t character_start(const Document& document, std::size_t offset) {
  const std::string& text = document.text();
  offset = std::min(offset, text.size());
  while (offset > 0 && offset < text.size() && (static_cast<unsigned char>(text[offset]) & 0xC0) == 0x80) --offset;
  return offset;
}

}  // namespace

Anchored anchored_prompt(Anchors& anchors, const PromptRequest& request) {
  const std::size_t offset = character_start(request.document, request.offset);
  const std::size_t latest = anchors.latest, other = 1 - latest;
  Anchored::Choice why = Anchored::Choice::first;
  for (const std::size_t place : {latest, other}) {
    Anchored kept = keep(anchors.places[place], place, request, offset);
    if (kept.choice == Anchored::Choice::kept) {
      anchors.latest = place;
      return kept;
    }
    if (kept.choice == Anchored::Choice::full) return choose(anchors, place, kept.choice, request, offset);
    if (kept.choice == Anchored::Choice::elsewhere) why = kept.choice;
  }
  return choose(anchors, anchors.places[latest].chosen ? other : latest, why, request, offset);
}

Anchored renewed_prompt(Anchors& anchors, const PromptRequest& request) {
  const std::size_t offset = character_start(request.document, request.offset);
  return choose(anchors, 1 - anchors.latest, Anchored::Choice::elsewhere, request, offset);
}

}  // namespace context
