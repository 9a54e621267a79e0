// Tolerant reading and exact writing of the protocol's JSON.
#include "lsp/protocol.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <limits>
#include <utility>

#include <nlohmann/json.hpp>

#include "lsp/json_node.h"
#include "lsp/json_rpc.h"

namespace lsp {

namespace {

bool holds(const Node& list, const Json& value) {
  return list.json->is_array() && std::find(list.json->begin(), list.json->end(), value) != list.json->end();
}

}  // namespace

InitializeParams read_initialize(const Json& params) {
  const Node in = root(params);
  if (in.given() && !params.is_object()) refuse(in, "an object");
  InitializeParams out;
  out.client_name = text_or(get(in, {"clientInfo", "name"}), "");
  out.client_version = text_or(get(in, {"clientInfo", "version"}), "");
  out.process_id = integer(get(in, "processId"));
  out.roots = uris(get(in, "workspaceFolders"));
  const std::string root_uri = text_or(get(in, "rootUri"), "");
  if (out.roots.empty() && !root_uri.empty()) out.roots.push_back(root_uri);

  const Node capabilities = get(in, "capabilities");
  ClientCapabilities& read = out.capabilities;
  const Node encodings = get(capabilities, {"general", "positionEncodings"});
  if (encodings.json->is_array()) {
    for (const Json& encoding : *encodings.json) {
      if (encoding.is_string()) read.position_encodings.push_back(encoding.get<std::string>());
    }
  }
  read.inline_completion = get(capabilities, {"textDocument", "inlineCompletion"}).json->is_object();
  const Node item = get(capabilities, {"textDocument", "completion", "completionItem"});
  read.snippets = flag(get(item, "snippetSupport"));
  read.insert_text_mode_as_is = holds(get(item, {"insertTextModeSupport", "valueSet"}), 1);
  read.pulls_configuration = flag(get(capabilities, {"workspace", "configuration"}));
  read.work_done_progress = flag(get(capabilities, {"window", "workDoneProgress"}));

  const Node action = get(capabilities, {"textDocument", "codeAction"});
  read.code_action_literals = get(action, "codeActionLiteralSupport").json->is_object();
  read.resolves_edits = holds(get(action, {"resolveSupport", "properties"}), "edit") && flag(get(action, "dataSupport"));
  read.llm_tag = holds(get(action, {"tagSupport", "valueSet"}), 1);
  const Node edit = get(capabilities, {"workspace", "workspaceEdit"});
  read.document_changes = flag(get(edit, "documentChanges"));
  read.creates_files = read.document_changes && holds(get(edit, "resourceOperations"), "create");
  read.change_annotations = read.document_changes && get(edit, "changeAnnotationSupport").json->is_object();
  return out;
}

const Json& initialization_options(const Json& params) { return *get(root(params), "initializationOptions").json; }

Json initialize_result(const ServerCapabilities& server) {
  const char* encoding = server.encoding == PositionEncoding::utf8    ? "utf-8"
                         : server.encoding == PositionEncoding::utf16 ? "utf-16"
                                                                      : "utf-32";
  Json capabilities = {
      {"positionEncoding", encoding},
      {"textDocumentSync", {{"openClose", true}, {"change", 2}, {"save", false}}},
      {"workspace", {{"workspaceFolders", {{"supported", true}, {"changeNotifications", true}}}}},
  };
  if (server.inline_completion) capabilities["inlineCompletionProvider"] = true;
  capabilities["codeActionProvider"] = {{"codeActionKinds", {"quickfix", "refactor.rewrite", "source"}}, {"resolveProvider", true}};
  capabilities["executeCommandProvider"] = {{"commands", {action_command, module_command, cancel_command}}};
  // No trigger characters beyond the dot: a popup for every key would run the model for nothing.
  if (server.completion) capabilities["completionProvider"] = {{"triggerCharacters", {"."}}, {"resolveProvider", false}};
  return {{"capabilities", capabilities}, {"serverInfo", {{"name", "loopd"}, {"version", server.version}}}};
}

OpenParams read_open(const Json& params) {
  const Node document = get(root(params), "textDocument");
  return {text(get(document, "uri")), text_or(get(document, "languageId"), ""),
          integer(get(document, "version")).value_or(0), text(get(document, "text"))};
}

ChangeParams read_change(const Json& params) {
  const Node in = root(params);
  ChangeParams out{text(get(in, {"textDocument", "uri"})), integer(get(in, {"textDocument", "version"})), {}};
  const Node changes = get(in, "contentChanges");
  if (!changes.json->is_array()) refuse(changes, "an array");
  for (const Json& json : *changes.json) {
    const Node change{&json, changes.path + "[" + std::to_string(out.changes.size()) + "]"};
    const Node where = get(change, "range");
    ContentChange read;
    if (where.given()) read.range = range(where);
    read.text = text(get(change, "text"));
    out.changes.push_back(std::move(read));
  }
  return out;
}

std::string read_document_uri(const Json& params) { return text(get(root(params), {"textDocument", "uri"})); }

PositionParams read_position(const Json& params) {
  return {read_document_uri(params), position(get(root(params), "position"))};
}

InlineCompletionParams read_inline_completion(const Json& params) {
  InlineCompletionParams out;
  out.at = read_position(params);
  const Node context = get(root(params), "context");
  if (const auto kind = integer(get(context, "triggerKind"))) out.trigger_kind = static_cast<int>(std::clamp<std::int64_t>(*kind, 0, 9));
  const Node selected = get(context, "selectedCompletionInfo");
  if (selected.json->is_object()) out.selected = {range(get(selected, "range")), text(get(selected, "text"))};
  return out;
}

Json to_json(const std::vector<InlineCompletionItem>& items) {
  Json list = Json::array();
  for (const auto& item : items) list.push_back({{"insertText", item.insert_text}, {"range", to_json(item.range)}});
  return {{"items", list}};
}

Json to_json(const std::vector<CompletionItem>& items, const std::string& language) {
  Json list = Json::array();
  for (const auto& item : items) {
    constexpr int text_kind = 1;
    Json out = {{"label", item.label},
                {"kind", text_kind},
                {"detail", item.detail},
                {"sortText", "0"},
                {"filterText", item.filter_text},
                {"insertTextFormat", item.snippet ? 2 : 1},
                {"textEdit", {{"range", to_json(item.range)}, {"newText", item.new_text}}}};
    if (item.as_is) out["insertTextMode"] = 1;
    if (!item.documentation.empty()) {
      out["documentation"] = {{"kind", "markdown"}, {"value", "```" + language + "\n" + item.documentation + "\n```"}};
    }
    list.push_back(std::move(out));
  }
  // Incomplete: after the next key the suggestion is another one, so that the list must be asked for again.
  return {{"isIncomplete", true}, {"items", list}};
}

FoldersChange read_folders_change(const Json& params) {
  const Node event = get(root(params), "event");
  return {uris(get(event, "added")), uris(get(event, "removed"))};
}

const Json& changed_settings(const Json& params) { return *get(root(params), "settings").json; }

Json configuration_request() { return {{"items", Json::array({{{"section", "loopd"}}})}}; }

const Json& configuration_answer(const Json& result) {
  return result.is_array() && !result.empty() ? result.front() : null_json;
}

Json to_json(const Status& status) {
  return {{"state", status.state}, {"message", status.message}, {"model", status.model}, {"device", status.device}};
}

Json error_message(const std::string& message) { return {{"type", 1}, {"message", message}}; }

GenerateParams read_generate(const Json& params) {
  const Node in = root(params);
  GenerateParams out;
  out.prompt = text(get(in, "prompt"));
  const Node suffix = get(in, "suffix");
  if (suffix.given()) out.suffix = text(suffix);
  const Node sampling = get(in, "sampling_params");
  if (sampling.given() && !sampling.json->is_object()) refuse(sampling, "an object");
  const auto number = [&](const char* key, double least, double most, double fallback) {
    const Node node = get(sampling, key);
    if (!node.given()) return fallback;
    const double value = node.json->is_number() ? node.json->get<double>() : std::nan("");
    if (!(value >= least && value <= most)) {
      const auto shown = [](double bound) { return std::to_string(static_cast<long long>(bound)); };
      refuse(node, "a number from " + shown(least) + " to " + shown(most));
    }
    return value;
  };
  out.temperature = number("temperature", 0, 100, out.temperature);
  out.top_p = number("top_p", 0, 1, out.top_p);
  out.max_tokens = static_cast<int>(number("max_tokens", 1, 1 << 20, out.max_tokens));
  const Node depth = get(sampling, "loop_depth");
  if (depth.given()) out.loop_depth = static_cast<int>(number("loop_depth", 1, 64, 1));
  out.seed = static_cast<std::uint64_t>(number("seed", 0, 9007199254740991.0, 0));
  return out;
}

}  // namespace lsp
