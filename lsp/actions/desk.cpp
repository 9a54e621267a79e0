// Offer, choose, run, apply: the life of a code action, top to bottom.
#include "lsp/actions/desk.h"

#include <algorithm>
#include <utility>

#include <nlohmann/json.hpp>

#include "context/syntax.h"
#include "lsp/actions/report.h"
#include "lsp/files.h"

namespace lsp {
namespace {

constexpr std::size_t most_remembered = 256;   // offers that were carried out

bool is_file(const std::string& uri) { return uri.rfind("file:", 0) == 0; }

}  // namespace

// An action under way.
struct ActionDesk::Task {
  std::string title;
  std::string uri;
  std::string token;  // JSON; empty: this client sees no progress
  bool shown = false;
  std::stop_source stop;
};

ActionDesk::ActionDesk(Dispatcher& rpc, const Documents& documents, Scheduler& engine, DeskHooks hooks, ActionReports reports)
    : rpc_(rpc), documents_(documents), engine_(engine), hooks_(std::move(hooks)), reports_(std::move(reports)) {}

ActionDesk::~ActionDesk() = default;

void ActionDesk::set_client(const ClientCapabilities& client, PositionEncoding encoding) {
  client_ = client;
  encoding_ = encoding;
}

void ActionDesk::stop() {
  offers_.stop();
  cancel_all();
}

// Offering.

void ActionDesk::code_action(const Json& params, Reply& reply) {
  const CodeActionParams read = read_code_action(params);
  const OpenDocument* open = documents_.find(read.uri);
  if (!open || !hooks_.silence(*open).empty()) return reply(Json::array());
  offer(read.uri, std::make_shared<Reply>(std::move(reply)), read);
}

void ActionDesk::offer(const std::string& uri, std::shared_ptr<Reply> reply, const CodeActionParams& params) {
  const OpenDocument& open = *documents_.find(uri);
  ActionPlace place{open.document, open.language, is_file(uri) ? open.path : "", hooks_.relative(open.path),
                    to_offset(*open.document, params.range.start, encoding_), to_offset(*open.document, params.range.end, encoding_)};
  std::vector<Diagnosed> diagnostics;
  for (const auto& one : params.diagnostics) {
    diagnostics.push_back({to_offset(*open.document, one.range.start, encoding_), to_offset(*open.document, one.range.end, encoding_),
                           one.message, diagnostics.size()});
  }
  const bool suggestion = !reports_.last_suggestion(uri).is_null() || !last_result_.is_null();
  const auto offers = std::make_shared<std::vector<ActionOffer>>();
  Job job;
  job.document = uri;
  job.cancelled = reply->cancelled();
  job.work = [place, syntax = open.syntax, diagnostics, suggestion, offers](std::stop_token) {
    // The tracker follows the newest text; an older one is parsed by itself.
    const auto parsed = syntax->parsed();
    const auto tree = parsed.document == place.document ? parsed.tree : context::parse(place.language, place.document->text());
    *offers = offer_actions(place, tree.get(), diagnostics, suggestion);
  };
  job.finished = [self = weak_from_this(), post = hooks_.post, reply, offers, params](Outcome outcome, const std::string& error) {
    post([self, reply, offers, params, outcome, error] {
      const auto desk = self.lock();
      if (!desk || outcome != Outcome::done) return (*reply)(outcome == Outcome::superseded ? Json(nullptr) : Json::array());
      std::vector<CodeActionItem> items;
      for (const ActionOffer& one : *offers) {
        const std::string kind(code_action_kind(one.kind));
        if (!wants_kind(params.only, kind)) continue;
        CodeActionItem item{one.title, kind, "", {desk->next_id_++, std::string(name(one.kind)), params.uri, params.range, std::nullopt}};
        if (one.diagnosed) {
          const auto& diagnostic = params.diagnostics[one.diagnosed->index];
          item.diagnostic = diagnostic.json;
          item.ref.diagnosed = ActionRef::Diagnosed{diagnostic.range, diagnostic.message};
        }
        items.push_back(std::move(item));
      }
      (*reply)(to_json(items, desk->client_));
    });
  };
  offers_.submit(std::move(job));
}

// Running.

// Where an action is to be run now: its range in the document as it is.
std::optional<ActionPlace> ActionDesk::place_of(const ActionRef& ref, ActionOffer& offer) const {
  const OpenDocument* open = documents_.find(ref.uri);
  const auto kind = action_named(ref.action);
  if (!open || !kind) return std::nullopt;
  const auto offset = [&](const Position& at) { return to_offset(*open->document, at, encoding_); };
  ActionPlace place{open->document, open->language, is_file(ref.uri) ? open->path : "", hooks_.relative(open->path),
                    offset(ref.range.start), offset(ref.range.end)};
  place.start = std::min(place.start, place.end);
  offer = {*kind, "", place.start, place.end, std::nullopt};
  if (ref.diagnosed) {
    const std::size_t start = offset(ref.diagnosed->range.start);
    offer.diagnosed = Diagnosed{start, std::max(start, offset(ref.diagnosed->range.end)), ref.diagnosed->message, 0};
  }
  return place;
}

FillOptions ActionDesk::fill_options(const std::string& uri, ActionKind kind) const {
  const Settings& settings = hooks_.settings();
  FillOptions options;
  const auto& range = kind == ActionKind::generate_module ? settings.depth.module : settings.depth.function;
  options.depth = range.explicit_;
  options.budget.total = settings.context_tokens;
  options.snippet_count = settings.context_snippets;
  options.others = hooks_.others(uri);
  options.external_check = settings.check_actions;
  return options;
}

// What is open counts as it stands in the editor; the rest is read from disk.
ReadFile ActionDesk::reader() const {
  std::map<std::string, std::shared_ptr<const context::Document>> open;
  for (const OpenDocument* one : documents_.others("")) open[one->path] = one->document;
  return [open](const std::string& file) -> std::optional<std::string> {
    const auto found = open.find(file);
    return found != open.end() ? std::optional(found->second->text()) : read_small_file(file);
  };
}

void ActionDesk::run(const ActionRef& ref, const TaskPtr& task, std::function<void(ActionResult)> then) {
  ActionOffer offer;
  const auto place = place_of(ref, offer);
  if (!place) {
    ActionResult nothing;
    nothing.explain = {"the document is not open any more"};
    return then(nothing);
  }
  FillOptions options = fill_options(ref.uri, offer.kind);
  options.progress = progress_of(task);
  const auto result = std::make_shared<ActionResult>();
  Job job;
  job.cancelled = task->stop.get_token();
  job.work = [model = hooks_.model, offer, place = *place, options, read = reader(), result](std::stop_token stop) {
    const ModelPort* port = model();
    if (!port) throw std::runtime_error("no model is loaded");
    *result = run_action(*port, offer, place, options, read, stop);
  };
  job.finished = [post = hooks_.post, self = weak_from_this(), result, then, task, uri = ref.uri, document = place->document](Outcome outcome, const std::string& error) {
    post([self, result, then, task, uri, document, outcome, error] {
      if (!self.lock()) return;
      for (FileChange& change : result->changes) {
        if (!change.file.empty()) continue;
        change.uri = uri;
        change.document = document;
      }
      if (outcome == Outcome::failed) result->explain = {error};
      if (outcome == Outcome::refused) result->explain = {"too many requests are waiting"};
      result->cancelled = result->cancelled || outcome == Outcome::cancelled || task->stop.stop_requested();
      if (outcome != Outcome::done || result->cancelled) result->changes.clear();
      then(std::move(*result));
    });
  };
  engine_.submit(std::move(job));
}

void ActionDesk::resolve(const Json& action, Reply& reply) {
  const auto ref = read_resolve(action);
  const auto kind = ref ? action_named(ref->action) : std::nullopt;
  // Neovim 0.7 resolves whatever has no edit; an action that is none, or is a command's alone, comes back as it was.
  if (!kind || *kind == ActionKind::explain_last || *kind == ActionKind::generate_module || !client_.resolves_edits) return reply(action);
  const auto pending = std::make_shared<Reply>(std::move(reply));
  const std::string title = action.value("title", std::string("loopd"));
  const TaskPtr task = start(title, ref->uri, "");
  const auto cancelled = std::make_shared<std::stop_callback<std::function<void()>>>(pending->cancelled(), [task] { task->stop.request_stop(); });
  done_.insert(ref->id);
  run(*ref, task, [this, pending, action, task, cancelled, title, ref = *ref](ActionResult result) {
    finish_progress(task, result.changes.empty() ? "nothing changed" : "done");
    Json resolved = action;
    if (!result.changes.empty()) resolved["edit"] = workspace_edit(edited_files(result), title, false, client_);
    if (!result.cancelled) {
      last_result_ = reports_.of(result, ref.action);
      rpc_.notify("loopd/result", last_result_);
      if (result.changes.empty()) rpc_.notify("window/showMessage", info_message("loopd: " + why_nothing(result)));
    }
    (*pending)(resolved);
  });
}

void ActionDesk::execute(const Json& params, Reply& reply) {
  const ExecuteParams read = read_execute(params);
  if (read.command != action_command && read.command != module_command && read.command != cancel_command) {
    return reply.error(ErrorCode::invalid_params, "params.command: loopd has no command \"" + read.command + "\"");
  }
  const auto kind = read.action ? action_named(read.action->action) : std::nullopt;
  // What is said at once comes before the answer: Emacs, which waits for that, loses or puts off what arrives right behind it.
  if (kind == ActionKind::explain_last) explain(read.action->uri);
  if (read.action && !kind) rpc_.notify("window/showMessage", info_message("loopd: there is no action \"" + read.action->action + "\""));
  // eglot 1.9 gives a command ten seconds, and Emacs stands still meanwhile.
  reply(nullptr);
  if (read.command == cancel_command) return cancel_all();
  if (read.command == module_command) return run_module(read);
  if (!kind || kind == ActionKind::explain_last) return;
  const ActionRef& ref = *read.action;
  if (kind == ActionKind::generate_module) {
    ExecuteParams module = read;
    module.folder = ref.uri;
    return run_module(module);
  }
  if (!done_.insert(ref.id).second) return;  // its edit was resolved and applied by the client
  while (done_.size() > most_remembered) done_.erase(done_.begin());
  const std::string title = "loopd: " + ref.action;
  const TaskPtr task = start(title, ref.uri, read.token);
  run(ref, task, [this, task, title, action = ref.action](ActionResult result) {
    finish_progress(task, result.cancelled ? "cancelled" : result.changes.empty() ? "nothing changed" : "done");
    apply(title, action, result);
  });
}

// Applying.

std::string ActionDesk::why_nothing(const ActionResult& result) const {
  return result.explain.empty() ? "nothing is changed" : result.explain.back();
}

std::vector<EditedFile> ActionDesk::edited_files(const ActionResult& result) const {
  std::vector<EditedFile> files;
  for (const FileChange& change : result.changes) {
    EditedFile file;
    file.create = change.create;
    file.uri = change.uri.empty() ? uri_of(change.file) : change.uri;
    // Offsets are of the text that the action read: the snapshot of an open document, else the file.
    const OpenDocument* open = documents_.find(file.uri);
    const auto document = change.document ? change.document : open ? open->document : std::make_shared<const context::Document>(read_small_file(change.file).value_or(""), 0);
    if (open && !change.create) file.version = document->version();
    for (const TextChange& one : change.changes) {
      if (change.create) {
        file.edits.push_back({{{0, 0}, {0, 0}}, one.text});
      } else {
        file.edits.push_back({{to_position(*document, one.start, encoding_), to_position(*document, one.end, encoding_)}, one.text});
      }
    }
    files.push_back(std::move(file));
  }
  return files;
}

void ActionDesk::apply(const std::string& title, const std::string& action, const ActionResult& result) {
  if (result.cancelled) return;  // whoever cancels wants to hear nothing more
  last_result_ = reports_.of(result, action);
  rpc_.notify("loopd/result", last_result_);
  if (result.changes.empty()) return rpc_.notify("window/showMessage", info_message(title + ": " + why_nothing(result)));
  const bool creates = std::any_of(result.changes.begin(), result.changes.end(), [](const FileChange& file) { return file.create; });
  const bool module = action == name(ActionKind::generate_module);
  if (module && !client_.creates_files) return write_after_asking(title, result);
  std::string unsaved;
  if (creates && !client_.creates_files) {
    for (const FileChange& file : result.changes) unsaved += file.create ? " " + file.file : "";
  }
  rpc_.request("workspace/applyEdit", apply_edit(title, workspace_edit(edited_files(result), title, module, client_)),
               [this, title, unsaved](const Json& answer) {
                 if (!was_applied(answer)) return rpc_.notify("window/showMessage", info_message(title + ": the editor did not apply the edit"));
                 if (!unsaved.empty()) rpc_.notify("window/showMessage", info_message(title + ": new and not yet saved:" + unsaved));
               });
}

// For clients whose edits cannot create files: shows the list, and writes only on a yes.
void ActionDesk::write_after_asking(const std::string& title, const ActionResult& result) {
  constexpr const char* yes = "Write these files";
  std::string list = title + ": this editor cannot create files by an edit. Write them?";
  for (const FileChange& file : result.changes) list += "\n" + file.file;
  rpc_.request("window/showMessageRequest", question(list, {yes, "Cancel"}), [this, title, changes = result.changes](const Json& answer) {
    if (chosen(answer) != yes) return;
    std::vector<std::pair<std::string, std::string>> files;
    for (const FileChange& file : changes) files.emplace_back(file.file, file.changes.front().text);
    const std::string problem = write_new_files(files);
    rpc_.notify("window/showMessage", info_message(title + ": " + (problem.empty() ? std::to_string(changes.size()) + " files written" : problem)));
  });
}

void ActionDesk::explain(const std::string& uri) {
  const Json suggestion = reports_.last_suggestion(uri);
  const Json& shown = suggestion.is_null() ? last_result_ : suggestion;
  if (shown.is_null()) return rpc_.notify("window/showMessage", info_message("loopd: there is no suggestion to explain yet"));
  rpc_.notify("window/showMessage", info_message("loopd: " + describe_report(shown)));
}

// Modules.

void ActionDesk::run_module(const ExecuteParams& params) {
  ModuleRequest request;
  request.folder = path_of(params.folder);
  const OpenDocument* open = documents_.find(params.folder);
  request.language = open ? open->language : context::detect_language(params.language, "");
  if (open) request.folder = request.folder.substr(0, request.folder.find_last_of('/'));  // asked for in a file: its folder
  request.about = params.about;
  request.options = fill_options(params.folder, ActionKind::generate_module);
  request.read_file = reader();
  const TaskPtr task = start("loopd: module", "", params.token);
  request.options.progress = progress_of(task);
  const auto result = std::make_shared<ActionResult>();
  Job job;
  job.cancelled = task->stop.get_token();
  job.work = [model = hooks_.model, request, result](std::stop_token stop) {
    const ModelPort* port = model();
    if (!port) throw std::runtime_error("no model is loaded");
    *result = generate_module(*port, request, stop);
  };
  job.finished = [post = hooks_.post, self = weak_from_this(), result, task](Outcome outcome, const std::string& error) {
    post([self, result, task, outcome, error] {
      const auto desk = self.lock();
      if (!desk) return;
      if (outcome == Outcome::failed) result->explain = {error};
      result->cancelled = result->cancelled || outcome == Outcome::cancelled || task->stop.stop_requested();
      if (outcome != Outcome::done || result->cancelled) result->changes.clear();
      desk->finish_progress(task, result->cancelled ? "cancelled" : result->changes.empty() ? "nothing written" : "done");
      desk->apply(task->title, std::string(name(ActionKind::generate_module)), *result);
    });
  };
  engine_.submit(std::move(job));
}

// Progress.

ActionDesk::TaskPtr ActionDesk::start(const std::string& title, const std::string& uri, std::string token) {
  auto task = std::make_shared<Task>();
  task->title = title;
  task->uri = uri;
  task->token = std::move(token);
  if (!task->token.empty()) {
    running_[task->token] = task;
    begin_progress(task);
    return task;
  }
  const std::string own = "\"loopd/" + std::to_string(next_id_++) + "\"";
  running_[own] = task;
  if (!client_.work_done_progress) return task;
  rpc_.request("window/workDoneProgress/create", progress_create(own), [this, task, own](const Json&) {
    if (!running_.contains(own)) return;  // it was quicker than the client
    task->token = own;
    begin_progress(task);
  });
  return task;
}

void ActionDesk::begin_progress(const TaskPtr& task) {
  task->shown = true;
  rpc_.notify("$/progress", progress_begin(task->token, task->title));
}

std::function<void(const std::string&)> ActionDesk::progress_of(const TaskPtr& task) {
  return [self = weak_from_this(), post = hooks_.post, task](const std::string& doing) {
    post([self, task, doing] {
      const auto desk = self.lock();
      if (desk && task->shown && !task->stop.stop_requested()) desk->rpc_.notify("$/progress", progress_report(task->token, doing));
    });
  };
}

void ActionDesk::finish_progress(const TaskPtr& task, const std::string& message) {
  std::erase_if(running_, [&](const auto& one) { return one.second == task; });
  if (task->shown) rpc_.notify("$/progress", progress_end(task->token, message));
  task->shown = false;
}

void ActionDesk::cancel_progress(const Json& params) {
  const auto found = running_.find(read_progress_token(params));
  if (found != running_.end()) found->second->stop.request_stop();
}

void ActionDesk::cancel_all() {
  for (const auto& [token, task] : running_) task->stop.request_stop();
}

void ActionDesk::document_changed(const std::string& uri) {
  for (const auto& [token, task] : running_) {
    if (task->uri == uri) task->stop.request_stop();
  }
}

}  // namespace lsp
