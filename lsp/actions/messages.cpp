// Field names of code actions, commands, progress and workspace edits.
#include "lsp/actions/messages.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "lsp/json_node.h"

namespace lsp {
namespace {

constexpr std::size_t longest_message = 2000;  // of a diagnostic; what is longer helps no model

ActionRef read_ref(const Node& node) {
  if (!node.json->is_object()) refuse(node, "an object");
  ActionRef out;
  const auto id = integer(get(node, "id"));
  if (!id || *id < 0) refuse(get(node, "id"), "an integer that is not negative");
  out.id = static_cast<std::uint64_t>(*id);
  out.action = text(get(node, "action"));
  out.uri = text(get(node, "uri"));
  out.range = range(get(node, "range"));
  const Node diagnosed = get(node, "diagnostic");
  if (diagnosed.json->is_object()) {
    out.diagnosed = ActionRef::Diagnosed{range(get(diagnosed, "range")), text(get(diagnosed, "message")).substr(0, longest_message)};
  }
  return out;
}

Json token_json(const std::string& token) { return Json::parse(token, nullptr, false); }

}  // namespace

CodeActionParams read_code_action(const Json& params) {
  const Node in = root(params);
  CodeActionParams out;
  out.uri = read_document_uri(params);
  out.range = range(get(in, "range"));
  const Node diagnostics = get(in, {"context", "diagnostics"});
  if (diagnostics.json->is_array()) {
    for (const Json& json : *diagnostics.json) {
      const Node one{&json, diagnostics.path + "[" + std::to_string(out.diagnostics.size()) + "]"};
      const std::string message = text_or(get(one, "message"), "");
      if (message.empty() || !get(one, "range").json->is_object()) continue;
      out.diagnostics.push_back({range(get(one, "range")), message.substr(0, longest_message), to_text(json)});
    }
  }
  const Node only = get(in, {"context", "only"});
  if (only.json->is_array()) {
    for (const Json& kind : *only.json) {
      if (kind.is_string()) out.only.push_back(kind.get<std::string>());
    }
  }
  return out;
}

bool wants_kind(const std::vector<std::string>& only, const std::string& kind) {
  return only.empty() || std::any_of(only.begin(), only.end(), [&](const std::string& one) {
    return one.empty() || one == kind || (kind.rfind(one, 0) == 0 && kind[one.size()] == '.');
  });
}

Json to_json(const ActionRef& ref) {
  Json out = {{"id", ref.id}, {"action", ref.action}, {"uri", ref.uri}, {"range", to_json(ref.range)}};
  if (ref.diagnosed) out["diagnostic"] = {{"range", to_json(ref.diagnosed->range)}, {"message", ref.diagnosed->message}};
  return out;
}

Json to_json(const std::vector<CodeActionItem>& items, const ClientCapabilities& client) {
  constexpr int llm_generated = 1;
  Json list = Json::array();
  for (const CodeActionItem& item : items) {
    const Json ref = to_json(item.ref);
    const Json command = {{"title", item.title}, {"command", action_command}, {"arguments", Json::array({ref})}};
    if (!client.code_action_literals) {
      list.push_back(command);
      continue;
    }
    Json out = {{"title", item.title}, {"kind", item.kind}, {"command", command}, {"data", ref}};
    if (!item.diagnostic.empty()) out["diagnostics"] = Json::array({Json::parse(item.diagnostic, nullptr, false)});
    if (client.llm_tag) out["tags"] = Json::array({llm_generated});
    list.push_back(std::move(out));
  }
  return list;
}

std::optional<ActionRef> read_resolve(const Json& action) {
  const Node data = get(root(action), "data");
  if (!data.json->is_object() || !get(data, "action").json->is_string()) return std::nullopt;
  return read_ref(data);
}

ExecuteParams read_execute(const Json& params) {
  const Node in = root(params);
  ExecuteParams out;
  out.command = text(get(in, "command"));
  const Node token = get(in, "workDoneToken");
  if (token.json->is_string() || token.json->is_number_integer()) out.token = to_text(*token.json);
  const Node arguments = get(in, "arguments");
  const auto argument = [&](std::size_t i) -> Node {
    const bool there = arguments.json->is_array() && i < arguments.json->size();
    return {there ? &(*arguments.json)[i] : &null_json, arguments.path + "[" + std::to_string(i) + "]"};
  };
  if (out.command == action_command) out.action = read_ref(argument(0));
  if (out.command == module_command) {
    const bool object = argument(0).json->is_object();
    out.folder = text(object ? get(argument(0), "folder") : argument(0));
    out.language = text_or(object ? get(argument(0), "language") : argument(1), "");
    out.about = text_or(object ? get(argument(0), "about") : argument(2), "");
  }
  return out;
}

std::string read_progress_token(const Json& params) { return to_text(*get(root(params), "token").json); }

Json progress_create(const std::string& token) { return {{"token", token_json(token)}}; }

Json progress_begin(const std::string& token, const std::string& title) {
  return {{"token", token_json(token)}, {"value", {{"kind", "begin"}, {"title", title}, {"cancellable", true}}}};
}

Json progress_report(const std::string& token, const std::string& message) {
  return {{"token", token_json(token)}, {"value", {{"kind", "report"}, {"message", message}, {"cancellable", true}}}};
}

Json progress_end(const std::string& token, const std::string& message) {
  return {{"token", token_json(token)}, {"value", {{"kind", "end"}, {"message", message}}}};
}

Json info_message(const std::string& message) { return {{"type", 3}, {"message", message}}; }

Json question(const std::string& message, const std::vector<std::string>& answers) {
  Json actions = Json::array();
  for (const std::string& answer : answers) actions.push_back({{"title", answer}});
  return {{"type", 3}, {"message", message}, {"actions", actions}};
}

std::string chosen(const Json& answer) { return text_or(get({&answer, "result"}, "title"), ""); }

Json workspace_edit(const std::vector<EditedFile>& files, const std::string& label, bool confirm, const ClientCapabilities& client) {
  constexpr const char* annotation = "loopd";
  const auto edits_of = [&](const EditedFile& file) {
    Json edits = Json::array();
    for (const EditedFile::Edit& edit : file.edits) {
      Json json = {{"range", to_json(edit.range)}, {"newText", edit.text}};
      if (client.change_annotations) json["annotationId"] = annotation;
      edits.push_back(std::move(json));
    }
    return edits;
  };
  if (!client.document_changes) {
    Json changes = Json::object();
    for (const EditedFile& file : files) changes[file.uri] = edits_of(file);
    return {{"changes", changes}};
  }
  Json list = Json::array();
  for (const EditedFile& file : files) {
    if (file.create && client.creates_files) {
      Json create = {{"kind", "create"}, {"uri", file.uri}, {"options", {{"overwrite", false}, {"ignoreIfExists", true}}}};
      if (client.change_annotations) create["annotationId"] = annotation;
      list.push_back(std::move(create));
    }
    const Json version = file.version ? Json(*file.version) : Json(nullptr);
    list.push_back({{"textDocument", {{"uri", file.uri}, {"version", version}}}, {"edits", edits_of(file)}});
  }
  Json out = {{"documentChanges", list}};
  if (client.change_annotations) {
    out["changeAnnotations"] = {{annotation, {{"label", label}, {"needsConfirmation", confirm}, {"description", "written by the model, checked by the parser"}}}};
  }
  return out;
}

Json apply_edit(const std::string& label, const Json& edit) { return {{"label", label}, {"edit", edit}}; }

bool was_applied(const Json& answer) { return flag(get({&answer, "result"}, "applied")); }

}  // namespace lsp
