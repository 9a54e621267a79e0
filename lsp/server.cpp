// Lifecycle, method table, and the way of a request from JSON to the engine thread and back.
#include "lsp/server.h"

#include <algorithm>
#include <optional>
#include <unordered_map>
#include <utility>

#include <nlohmann/json.hpp>

#include "lsp/action_desk.h"
#include "lsp/action_report.h"
#include "lsp/clients.h"
#include "lsp/documents.h"
#include "lsp/generation.h"
#include "lsp/foresight.h"
#include "lsp/json_rpc.h"
#include "lsp/protocol.h"
#include "lsp/recall.h"
#include "lsp/report.h"
#include "lsp/scheduler.h"

namespace lsp {
namespace {

// A request that comes while the model loads waits this long at most: an editor must not hang on a cold disk.
constexpr std::chrono::seconds patience{2};

// The model, as the engine thread's work sees it; no other thread looks inside.
struct EngineSide {
  std::optional<LoadedModel> model;
};

// What a completion request asks, whichever method it came by.
struct Ask {
  std::string uri;
  std::shared_ptr<const context::Document> document;
  std::shared_ptr<context::SyntaxTracker> syntax;  // null where `document` is not what the client has open
  std::size_t offset = 0;
  bool explicit_request = false;
  bool single_line = false;
  std::function<Json(const Completion&)> answer;
  Json nothing;  // the answer where there is nothing to say
};

}  // namespace

struct Server::State : std::enable_shared_from_this<Server::State> {
  State(ServerHooks given_hooks, Settings given_settings, LoadModel given_load)
      : hooks(std::move(given_hooks)), settings(std::move(given_settings)), load(std::move(given_load)),
        rpc(hooks.send, hooks.log), documents(PositionEncoding::utf16, hooks.log) {
    register_methods();
    const auto model = [engine = engine]() -> const ModelPort* { return engine->model ? &engine->model->port : nullptr; };
    foresight = std::make_shared<Foresight>(ForesightHooks{hooks.after, hooks.post, [this](Job job) { scheduler.submit(std::move(job)); }, model});
  }

  ServerHooks hooks;
  Settings settings;
  LoadModel load;
  Dispatcher rpc;
  Documents documents;
  ClientProfile client;
  TriggerKinds trigger_kinds;
  std::vector<std::string> roots;  // paths of the workspace folders
  Status status{"loading", "", "", ""};
  std::unordered_map<std::string, Suggestion> last;  // by URI
  std::shared_ptr<EngineSide> engine = std::make_shared<EngineSide>();
  Scheduler scheduler;  // its thread ends before what its work refers to goes
  std::shared_ptr<ActionDesk> desk;
  std::shared_ptr<Foresight> foresight;

  // The method table.
  void register_methods() {
    const auto request = [this](const char* method, void (State::*handler)(const Json&, Reply&)) {
      rpc.on_request(method, [this, handler](const Json& params, Reply& reply) { (this->*handler)(params, reply); });
    };
    const auto notification = [this](const char* method, void (State::*handler)(const Json&)) {
      rpc.on_notification(method, [this, handler](const Json& params) { (this->*handler)(params); });
    };
    request("initialize", &State::initialize);
    request("shutdown", &State::shutdown);
    request("textDocument/inlineCompletion", &State::inline_completion);
    request("textDocument/completion", &State::popup_completion);
    const auto action = [this](const char* method, void (ActionDesk::*handler)(const Json&, Reply&)) {
      rpc.on_request(method, [this, handler](const Json& params, Reply& reply) { ((*desk).*handler)(params, reply); });
    };
    action("textDocument/codeAction", &ActionDesk::code_action);
    action("codeAction/resolve", &ActionDesk::resolve);
    action("workspace/executeCommand", &ActionDesk::execute);
    request("loopd/explain", &State::explain);
    request("loopd/generate", &State::generate);
    notification("initialized", &State::initialized);
    rpc.on_notification("window/workDoneProgress/cancel", [this](const Json& params) { desk->cancel_progress(params); });
    notification("textDocument/didOpen", &State::did_open);
    notification("textDocument/didChange", &State::did_change);
    notification("textDocument/didClose", &State::did_close);
    notification("textDocument/didSave", &State::nothing_to_do);
    notification("workspace/didChangeConfiguration", &State::did_change_configuration);
    notification("workspace/didChangeWorkspaceFolders", &State::did_change_folders);
  }

  // Lifecycle.

  void initialize(const Json& params, Reply& reply) {
    const InitializeParams read = read_initialize(params);
    client = profile_of(read);
    documents.set_encoding(client.encoding);
    open_desk(read.capabilities);
    for (const std::string& root : read.roots) roots.push_back(path_of(root));
    if (read.process_id && hooks.watch_process) hooks.watch_process(*read.process_id);
    configure(initialization_options(params), false);
    const bool popup = !client.inline_completion || settings.popup;
    reply(initialize_result({client.encoding, client.inline_completion, popup, LOOPD_VERSION}));
    hooks.log("serving " + client.name);
    // The answer is on its way; loading must not hold it up.
    load_model();
  }

  void initialized(const Json&) {
    publish_status();
    pull_configuration();
  }

  void shutdown(const Json&, Reply& reply) { reply(nullptr); }

  void nothing_to_do(const Json&) {}

  // Settings.

  void configure(const Json& json, bool reload_if_needed) {
    const Settings before = settings;
    for (const std::string& complaint : apply(settings, json)) {
      hooks.log(complaint);
      if (reload_if_needed) rpc.notify("window/showMessage", error_message("loopd: " + complaint));
    }
    last.clear();  // they were made under other settings
    foresight->forget_all();
    const bool other_model = before.model != settings.model || before.device != settings.device || before.threads != settings.threads;
    if (reload_if_needed && other_model) load_model();
  }

  void did_change_configuration(const Json& params) {
    configure(changed_settings(params), true);
    // Clients that are asked for settings send none here.
    pull_configuration();
  }

  void pull_configuration() {
    if (!client.pulls_configuration) return;
    rpc.request("workspace/configuration", configuration_request(),
                [this](const Json& result) { configure(configuration_answer(result), true); });
  }

  void did_change_folders(const Json& params) {
    const FoldersChange change = read_folders_change(params);
    for (const std::string& uri : change.removed) std::erase(roots, path_of(uri));
    for (const std::string& uri : change.added) roots.push_back(path_of(uri));
  }

  // The model.

  void load_model() {
    status = {"loading", "loading the model", settings.model, settings.device};
    publish_status();
    auto loaded = std::make_shared<Status>();
    Job job;
    job.work = [engine = engine, load = load, settings = settings, loaded](std::stop_token) {
      engine->model.reset();  // first: two models need not fit
      engine->model = load(settings);
      *loaded = {"ready", engine->model->summary, engine->model->model, engine->model->device};
    };
    job.finished = on_loop([loaded](State& self, Outcome outcome, const std::string& error) {
      if (outcome == Outcome::cancelled) return;
      self.status = *loaded;
      if (outcome != Outcome::done) {
        self.status = {"error", error, self.settings.model, self.settings.device};
        // Silence without a reason is what users complain about most; this is said once, by means every client has.
        self.rpc.notify("window/showMessage", error_message("loopd: " + error));
      }
      self.hooks.log(self.status.message);
      self.publish_status();
    });
    scheduler.submit(std::move(job));
  }

  void publish_status() { rpc.notify("loopd/status", to_json(status)); }

  // Wraps what is to be done with a job's outcome so that it runs on the event loop, if the server still lives then.
  template <typename Then>
  std::function<void(Outcome, const std::string&)> on_loop(Then then) {
    return [self = weak_from_this(), post = hooks.post, then](Outcome outcome, const std::string& error) {
      post([self, then, outcome, error] {
        if (const auto alive = self.lock()) then(*alive, outcome, error);
      });
    };
  }

  // Documents.

  void did_open(const Json& params) {
    const OpenParams read = read_open(params);
    documents.open(read);
    last.erase(read.uri);
    foresight->forget(read.uri);
    if (documents.find(read.uri)->last_edit > 0) prepare_request(read.uri);
  }

  void did_change(const Json& params) {
    const ChangeParams read = read_change(params);
    documents.change(read);
    desk->document_changed(read.uri);
    foresight->stir(read.uri);
    prepare_request(read.uri);
  }

  void did_close(const Json& params) {
    const std::string uri = read_document_uri(params);
    documents.close(uri);
    scheduler.supersede(uri);
    last.erase(uri);
    foresight->forget(uri);
  }

  // The path as users and the model see it: relative to the innermost workspace folder that holds it.
  std::string relative(const std::string& path) const {
    std::size_t best = 0;
    for (const std::string& root : roots) {
      const std::string folder = root.ends_with('/') ? root : root + "/";
      if (path.starts_with(folder)) best = std::max(best, folder.size());
    }
    return path.substr(best);
  }

  // Why this document is not completed; empty where it is.
  std::string silence(const OpenDocument& open) const {
    if (is_excluded(settings, relative(open.path))) return "the file is excluded (loopd.exclude)";
    if (!is_enabled(settings, open.language)) {
      return "completion is off for " + std::string(context::name(open.language)) + " (loopd.languages)";
    }
    if (status.state == "error") return status.message;
    return "";
  }

  // The other open files that may be shown to the model.
  std::vector<context::OtherFile> others_of(const std::string& uri) const {
    std::vector<context::OtherFile> files;
    for (const OpenDocument* other : documents.others(uri)) {
      const std::string path = relative(other->path);
      if (!is_excluded(settings, path)) files.push_back({path, other->document});
    }
    return files;
  }

  CompletionInput input_for(const OpenDocument& open, const Ask& ask) const {
    CompletionInput input;
    input.session = open.uri;
    input.path = relative(open.path);
    input.language = open.language;
    input.document = ask.document;
    input.syntax = ask.syntax;
    input.anchors = open.anchors;
    input.offset = ask.offset;
    input.explicit_request = ask.explicit_request;
    input.others = others_of(open.uri);
    input.options.policy = settings.depth;
    input.options.max_tokens = settings.max_tokens;
    input.options.budget.total = settings.context_tokens;
    input.options.snippet_count = settings.context_snippets;
    input.options.comments = settings.comments;
    input.options.single_line = ask.single_line;
    input.options.deadline = std::chrono::milliseconds(settings.deadline_ms) * (ask.explicit_request ? 10 : 1);
    return input;
  }

  // Brings the cache up to date while the client still waits for the user to stop typing.
  void prepare_request(const std::string& uri) {
    const OpenDocument* open = documents.find(uri);
    if (!open || !silence(*open).empty()) return;
    Ask ask;
    ask.document = open->document;
    ask.syntax = open->syntax;
    ask.offset = open->last_edit;
    Job job;
    job.document = uri;
    job.priority = Job::Priority::background;
    job.work = [engine = engine, input = input_for(*open, ask)](std::stop_token stop) {
      if (engine->model) prepare(engine->model->port, input, stop);
    };
    scheduler.submit(std::move(job));
  }

  // Completion.

  void inline_completion(const Json& params, Reply& reply) {
    const InlineCompletionParams read = read_inline_completion(params);
    Ask ask;
    ask.uri = read.at.uri;
    ask.explicit_request = trigger_kinds.is_explicit(read.trigger_kind);
    ask.nothing = to_json(std::vector<InlineCompletionItem>{});
    const OpenDocument* open = documents.find(ask.uri);
    if (!open) return reply(ask.nothing);
    ask.document = open->document;
    ask.syntax = open->syntax;
    ask.offset = to_offset(*open->document, read.at.position, client.encoding);
    ask.answer = [client = client, document = ask.document, offset = ask.offset](const Completion& completion) {
      return to_json(ghost_text(client, *document, offset, completion));
    };
    if (read.selected) continue_selected(*read.selected, ask);
    submit(*open, std::move(ask), reply);
  }

  // While the popup is open only an extension of its selected item is shown: completes the text as it would be with the
  // item accepted, and answers with both.
  void continue_selected(const InlineCompletionParams::Selected& selected, Ask& ask) {
    const std::size_t start = to_offset(*ask.document, selected.range.start, client.encoding);
    const std::size_t end = to_offset(*ask.document, selected.range.end, client.encoding);
    ask.document = ask.document->with_edit(start, end, selected.text, ask.document->version());
    ask.syntax = nullptr;
    ask.offset = start + selected.text.size();
    ClientProfile left_only = client;
    left_only.right_range = false;
    ask.answer = [left_only, selected, document = ask.document, offset = ask.offset](const Completion& completion) {
      auto items = ghost_text(left_only, *document, offset, completion);
      for (auto& item : items) item = {selected.text + item.insert_text, selected.range};
      return to_json(items);
    };
  }

  void popup_completion(const Json& params, Reply& reply) {
    const PositionParams read = read_position(params);
    Ask ask;
    ask.uri = read.uri;
    ask.single_line = client.popup_lines == ClientProfile::PopupLines::one;
    const OpenDocument* open = documents.find(ask.uri);
    ask.nothing = to_json(std::vector<CompletionItem>{}, "");
    if (!open) return reply(ask.nothing);
    ask.document = open->document;
    ask.syntax = open->syntax;
    ask.offset = to_offset(*open->document, read.position, client.encoding);
    ask.answer = [client = client, document = ask.document, offset = ask.offset,
                  language = std::string(context::name(open->language))](const Completion& completion) {
      return to_json(popup_items(client, *document, offset, completion), language);
    };
    submit(*open, std::move(ask), reply);
  }

  // Answers at once where that is possible, else sends the work to the engine thread.
  void submit(const OpenDocument& open, Ask ask, Reply& reply) {
    const std::string reason = silence(open);
    if (!reason.empty()) {
      Completion none;
      none.explain = {reason};
      none.finish_reason = "off";
      last[ask.uri] = {ask.document, ask.offset, ask.explicit_request, none};
      return reply(ask.nothing);
    }
    foresight->stir(ask.uri);
    const CompletionInput input = input_for(open, ask);
    if (const auto left = remembered(ask)) {
      scheduler.supersede(ask.uri);  // whatever still runs for the document is older
      foresight->answered(input, *left);
      return reply(ask.answer(*left));
    }
    const auto pending = std::make_shared<Reply>(std::move(reply));
    const auto completion = std::make_shared<Completion>();
    Job job;
    job.document = ask.uri;
    job.cancelled = pending->cancelled();
    job.work = [engine = engine, input, completion](std::stop_token stop) {
      if (engine->model) *completion = complete(engine->model->port, input, stop);
    };
    job.finished = on_loop([pending, completion, ask, input](State& self, Outcome outcome, const std::string& error) {
      if (outcome == Outcome::done) self.foresight->answered(input, *completion);
      self.finish(*pending, ask, *completion, outcome, error);
    });
    scheduler.submit(std::move(job));
    if (status.state == "loading") {
      hooks.after(patience, [pending, nothing = ask.nothing] { (*pending)(nothing); });
    }
  }

  // The answer without the model: the rest of the last suggestion, or what was foreseen for the place it led to.
  std::optional<Completion> remembered(const Ask& ask) {
    const auto known = last.find(ask.uri);
    if (known != last.end()) {
      auto left = recall(known->second, *ask.document, ask.offset, ask.explicit_request);
      known->second.recalled += left ? 1 : 0;
      if (left) return left;
    }
    const Suggestion* next = foresight->ahead(ask.uri);
    if (!next) return std::nullopt;
    auto left = recall(*next, *ask.document, ask.offset, ask.explicit_request);
    if (left) (last[ask.uri] = *next).recalled = 1;
    return left;
  }

  void finish(Reply& reply, const Ask& ask, const Completion& completion, Outcome outcome, const std::string& error) {
    switch (outcome) {
      case Outcome::done:
        last[ask.uri] = {ask.document, ask.offset, ask.explicit_request, completion};
        if (settings.trace) trace(ask.uri, completion);
        return reply(ask.answer(completion));
      case Outcome::superseded:
        return reply(nullptr);
      case Outcome::cancelled:
        return reply.error(ErrorCode::request_cancelled, "loopd is shutting down");
      case Outcome::failed:
        hooks.log("completion failed: " + error);
        [[fallthrough]];
      case Outcome::refused:
        // VS Code pops up every error of this request, so that even a failure is answered with nothing to show.
        return reply(ask.nothing);
    }
  }

  void trace(const std::string& uri, const Completion& completion) const {
    std::string text = uri + ": " + completion.finish_reason + ", " + std::to_string(completion.timings.total) + " ms";
    for (const std::string& sentence : completion.explain) text += "\n  " + sentence;
    hooks.log(text + "\n" + describe_steps(completion.steps));
  }

  // Code actions: action_desk.h.

  void open_desk(const ClientCapabilities& capabilities) {
    DeskHooks desk_hooks;
    desk_hooks.post = hooks.post;
    desk_hooks.log = hooks.log;
    desk_hooks.model = [engine = engine]() -> const ModelPort* { return engine->model ? &engine->model->port : nullptr; };
    desk_hooks.settings = [this]() -> const Settings& { return settings; };
    desk_hooks.relative = [this](const std::string& path) { return relative(path); };
    desk_hooks.silence = [this](const OpenDocument& open) { return silence(open); };
    desk_hooks.others = [this](const std::string& uri) { return others_of(uri); };
    desk_hooks.last_suggestion = [this](const std::string& uri) { return suggestion_report(uri); };
    desk_hooks.report = [this](const ActionResult& result, const std::string& action) {
      const OpenDocument* open = result.changes.empty() ? nullptr : documents.find(result.changes.front().uri);
      return report(result, action, open ? open->language : context::Language::none, status.model, status.device);
    };
    desk = std::make_shared<ActionDesk>(rpc, documents, scheduler, std::move(desk_hooks));
    desk->set_client(capabilities, client.encoding);
  }

  // Own requests.

  void explain(const Json& params, Reply& reply) {
    reply(suggestion_report(read_document_uri(params)));
  }

  // Of the last suggestion in a document; null where there is none.
  Json suggestion_report(const std::string& uri) const {
    const auto found = last.find(uri);
    const OpenDocument* open = documents.find(uri);
    if (found == last.end() || !open) return nullptr;
    Json out = report(found->second.completion, open->language, status.model, status.device);
    const Position at = to_position(*found->second.document, found->second.offset, client.encoding);
    out["position"] = {{"line", at.line}, {"character", at.character}};
    out["recalled"] = found->second.recalled;
    return out;
  }

  void generate(const Json& params, Reply& reply) {
    const GenerateParams read = read_generate(params);
    const auto pending = std::make_shared<Reply>(std::move(reply));
    const auto answer = std::make_shared<std::pair<inference::GenerateResult, int>>();
    Job job;
    job.cancelled = pending->cancelled();
    job.work = [engine = engine, read, answer](std::stop_token stop) {
      if (!engine->model) throw std::runtime_error("no model is loaded");
      const auto request = engine_request(read, std::nullopt, engine->model->port.max_depth);
      answer->second = request.params.depth;
      answer->first = engine->model->generate(request, stop);
    };
    job.finished = on_loop([pending, answer](State& self, Outcome outcome, const std::string& error) {
      if (outcome == Outcome::done) {
        (*pending)(report(answer->first, answer->second, self.status.model, self.status.device));
      } else {
        const std::string why = outcome == Outcome::refused ? "too many requests are waiting" : error.empty() ? "cancelled" : error;
        pending->error(outcome == Outcome::cancelled ? ErrorCode::request_cancelled : ErrorCode::request_failed, why);
      }
    });
    scheduler.submit(std::move(job));
  }
};

Server::Server(ServerHooks hooks, Settings settings, LoadModel load)
    : state_(std::make_shared<State>(std::move(hooks), std::move(settings), std::move(load))) {}

Server::~Server() {
  if (state_->desk) state_->desk->stop();
  state_->scheduler.stop();
}

bool Server::receive(std::string_view message) { return state_->rpc.receive(message); }

void Server::malformed(const std::string& why) { state_->rpc.parse_error(why); }

bool Server::exited() const { return state_->rpc.exited(); }

int Server::exit_code() const { return state_->rpc.exit_code(); }

}  // namespace lsp
