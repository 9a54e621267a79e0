// The messages of code actions, commands, progress and workspace edits, as plain structs, and their JSON.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "lsp/position.h"
#include "lsp/protocol.h"

namespace lsp {

// Like those of protocol.h, the readers throw RequestError(invalid_params) with one line.

struct CodeActionParams {
  struct Diagnostic {
    Range range;
    std::string message;
    std::string json;  // as the client sent it, to be handed back
  };
  std::string uri;
  Range range;
  std::vector<Diagnostic> diagnostics;
  std::vector<std::string> only;  // kinds; empty: all
};
CodeActionParams read_code_action(const Json& params);
// "refactor" holds "refactor.rewrite", and an empty list everything.
bool wants_kind(const std::vector<std::string>& only, const std::string& kind);

// What a chosen action is known by: the arguments of its command, and its data.
struct ActionRef {
  std::uint64_t id = 0;  // of the offer; the same action is carried out once, by its command or by its edit
  std::string action;
  std::string uri;
  Range range;
  struct Diagnosed {
    Range range;
    std::string message;
  };
  std::optional<Diagnosed> diagnosed;
};
Json to_json(const ActionRef& ref);

struct CodeActionItem {
  std::string title;
  std::string kind;
  std::string diagnostic;  // JSON; empty: none
  ActionRef ref;
};
// As CodeActions, or as bare commands for clients that know no others.
Json to_json(const std::vector<CodeActionItem>& items, const ClientCapabilities& client);

// The data of an action that is to be resolved; nothing where it is none of loopd's.
std::optional<ActionRef> read_resolve(const Json& action);

struct ExecuteParams {
  std::string command;
  std::optional<ActionRef> action;  // of action_command
  // Of module_command: {"folder": URI, "language"?, "about"?}, or the same as three strings.
  std::string folder, language, about;
  std::string token;  // JSON of the client's workDoneToken; empty: none
};
ExecuteParams read_execute(const Json& params);

// The token of window/workDoneProgress/cancel as JSON text.
std::string read_progress_token(const Json& params);
Json progress_create(const std::string& token);
Json progress_begin(const std::string& token, const std::string& title);
Json progress_report(const std::string& token, const std::string& message);
Json progress_end(const std::string& token, const std::string& message);

// A message to the user without urgency.
Json info_message(const std::string& text);
// window/showMessageRequest with answers to choose from; and the title chosen, empty where none was.
Json question(const std::string& text, const std::vector<std::string>& answers);
std::string chosen(const Json& answer);

// One file of a workspace edit. A file that is created has one edit, all its text, at the start.
struct EditedFile {
  struct Edit {
    Range range;
    std::string text;
  };
  std::string uri;
  std::optional<std::int64_t> version;  // of an open document
  bool create = false;
  std::vector<Edit> edits;
};
// As documentChanges where the client knows them, with creations and annotations where it knows those; else as changes,
// which open a new file as an unsaved buffer.
Json workspace_edit(const std::vector<EditedFile>& files, const std::string& label, bool confirm, const ClientCapabilities& client);
// Parameters of workspace/applyEdit; and whether the client applied it.
Json apply_edit(const std::string& label, const Json& edit);
bool was_applied(const Json& answer);

}  // namespace lsp
