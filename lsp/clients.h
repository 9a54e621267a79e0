// What each editor can take: decided once from what it announces and, where that lies, from its name and version.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "context/document.h"
#include "lsp/completion.h"
#include "lsp/position.h"
#include "lsp/protocol.h"

namespace lsp {

struct ClientProfile {
  std::string name;
  PositionEncoding encoding = PositionEncoding::utf16;
  bool inline_completion = false;  // ghost text

  // Several lines in a popup item only where they were seen to work. Neovim 0.7 turns them into one line that holds a NUL
  // byte, and its reports of later edits are wrong from there on.
  enum class PopupLines { one, plain, snippet };
  PopupLines popup_lines = PopupLines::one;
  bool as_is = false;  // popup items may forbid re-indentation

  // Ghost text may replace text behind the cursor. LSP4IJ would show that text in front of the suggestion, so that only
  // clients known to do better get it.
  bool right_range = false;
  bool pulls_configuration = false;
};

ClientProfile profile_of(const InitializeParams& params);

// The suggestions as ghost text, without those that this client could not show.
std::vector<InlineCompletionItem> ghost_text(const ClientProfile& client, const context::Document& document,
                                             std::size_t offset, const std::vector<Completion>& completions);

// The same as popup items. The item replaces the word in front of the cursor by itself and what follows, because clients
// filter by the typed word, some of them by the new text and not by filterText. The range is a plain one: an
// InsertReplaceEdit could say no more, and eglot 1.9 fails on it.
std::vector<CompletionItem> popup_items(const ClientProfile& client, const context::Document& document,
                                        std::size_t offset, const Completion& completion);

// Text in snippet syntax that inserts exactly `text`.
std::string escape_snippet(const std::string& text);

// InlineCompletionTriggerKind as numbered by drafts (Invoked 0, Automatic 1) and by 3.18 (1 and 2). A client's numbering
// shows with the first 0 or 2 it sends; until then 1 means what 3.18 says.
class TriggerKinds {
 public:
  // Whether the user asked, rather than typed. No kind at all counts as typed.
  bool is_explicit(std::optional<int> kind);

 private:
  bool drafts_ = false;
};

}  // namespace lsp
