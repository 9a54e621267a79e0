// The messages loopd speaks, as plain structs, and their JSON; no other file knows a field name of the protocol.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "lsp/position.h"

namespace lsp {

using Json = nlohmann::json;

// Every read_* below throws RequestError(invalid_params) with one line naming the key that is missing or of a wrong
// type. Keys loopd does not use are not looked at, and optional keys of a wrong type count as absent.

struct ClientCapabilities {
  std::vector<std::string> position_encodings;  // in the client's order of preference; empty means UTF-16
  bool inline_completion = false;
  bool snippets = false;              // completion items in snippet form
  bool insert_text_mode_as_is = false;  // items may say that their lines are not to be re-indented
  bool pulls_configuration = false;   // answers workspace/configuration
  bool work_done_progress = false;    // progress that the server starts
  bool code_action_literals = false;  // takes more than bare commands
  bool resolves_edits = false;        // asks for the edit of a code action when the user has chosen it
  bool llm_tag = false;               // tells actions that a language model carries out
  bool document_changes = false;      // edits of versioned documents, several files at once
  bool creates_files = false;         // edits may create files
  bool change_annotations = false;    // edits may say what they are, and be confirmed
};

struct InitializeParams {
  std::string client_name;  // clientInfo; empty where the client does not say
  std::string client_version;
  std::optional<std::int64_t> process_id;
  std::vector<std::string> roots;  // URIs of the workspace folders
  ClientCapabilities capabilities;
};
InitializeParams read_initialize(const Json& params);
// params.initializationOptions, or null.
const Json& initialization_options(const Json& params);

// The commands of workspace/executeCommand.
constexpr const char* action_command = "loopd.action";  // run a code action
constexpr const char* module_command = "loopd.module";  // generate a module into a folder
constexpr const char* cancel_command = "loopd.cancel";  // stop whatever actions run, for clients that show no progress

struct ServerCapabilities {
  PositionEncoding encoding = PositionEncoding::utf16;
  bool inline_completion = false;
  bool completion = false;
  std::string version;
};
Json initialize_result(const ServerCapabilities& capabilities);

struct OpenParams {
  std::string uri;
  std::string language_id;
  std::int64_t version = 0;
  std::string text;
};
OpenParams read_open(const Json& params);

struct ContentChange {
  std::optional<Range> range;  // none: `text` is the whole document
  std::string text;
};
struct ChangeParams {
  std::string uri;
  std::optional<std::int64_t> version;
  std::vector<ContentChange> changes;
};
ChangeParams read_change(const Json& params);

// params.textDocument.uri, as in didClose and didSave.
std::string read_document_uri(const Json& params);

struct PositionParams {
  std::string uri;
  Position position;
};
PositionParams read_position(const Json& params);

// InlineCompletionTriggerKind has had two numberings: Invoked 0 and Automatic 1 in drafts, 1 and 2 in 3.18.
struct InlineCompletionParams {
  PositionParams at;
  std::optional<int> trigger_kind;
  // The item selected in the open popup: suggestions must start with its text and replace its range.
  struct Selected {
    Range range;
    std::string text;
  };
  std::optional<Selected> selected;
};
InlineCompletionParams read_inline_completion(const Json& params);

struct InlineCompletionItem {
  std::string insert_text;
  Range range;
};
Json to_json(const std::vector<InlineCompletionItem>& items);

struct CompletionItem {
  std::string label;
  std::string detail;
  std::string documentation;  // code shown beside the popup; empty: none
  std::string filter_text;
  std::string new_text;
  Range range;
  bool snippet = false;
  bool as_is = false;  // insertTextMode asIs
};
// `language` names the code block of the documentation.
Json to_json(const std::vector<CompletionItem>& items, const std::string& language);

struct FoldersChange {
  std::vector<std::string> added, removed;
};
FoldersChange read_folders_change(const Json& params);

// params.settings, or null.
const Json& changed_settings(const Json& params);
// The request that asks the client for its `loopd` section, and the section out of the answer.
Json configuration_request();
const Json& configuration_answer(const Json& result);

struct Status {
  std::string state;  // "loading" | "ready" | "error" | "inactive"
  std::string message;
  std::string model;
  std::string device;
};
Json to_json(const Status& status);
// window/showMessage with severity error.
Json error_message(const std::string& text);

struct GenerateParams {
  std::string prompt;
  std::optional<std::string> suffix;  // given: fill in the middle
  double temperature = 0;
  double top_p = 1;
  int max_tokens = 128;
  std::optional<int> loop_depth;  // none: the model's greatest
  std::uint64_t seed = 0;
};
GenerateParams read_generate(const Json& params);

}  // namespace lsp
