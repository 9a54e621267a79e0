// Lifecycle, method table, settings, the model and the open documents; what is more than that has a desk of its own.
#include "lsp/server.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include <nlohmann/json.hpp>

#include "lsp/actions/desk.h"
#include "lsp/actions/report.h"
#include "lsp/clients.h"
#include "lsp/completion_desk.h"
#include "lsp/documents.h"
#include "lsp/generation.h"
#include "lsp/json_rpc.h"
#include "lsp/protocol.h"
#include "lsp/report.h"
#include "lsp/scheduler.h"

namespace lsp {
namespace {

// Documents and actions that are computed for at once, by turns; more wait for one of them to end.
constexpr std::size_t lanes = 8;

// The model, as the work on the lanes sees it. It is replaced while no other work runs.
struct EngineSide {
  std::optional<LoadedModel> model;
};

}  // namespace

struct Server::State : std::enable_shared_from_this<Server::State> {
  State(ServerHooks given_hooks, Settings given_settings, LoadModel given_load)
      : hooks(std::move(given_hooks)), settings(std::move(given_settings)), load(std::move(given_load)),
        rpc(hooks.send, hooks.log), documents(PositionEncoding::utf16, hooks.log) {
    register_methods();
    completions = std::make_shared<CompletionDesk>(documents, scheduler, desk_hooks());
    actions = std::make_shared<ActionDesk>(rpc, documents, scheduler, desk_hooks(), action_reports());
  }

  ServerHooks hooks;
  Settings settings;
  LoadModel load;
  Dispatcher rpc;
  Documents documents;
  ClientProfile client;
  std::vector<std::string> roots;  // paths of the workspace folders
  Status status{"loading", "", "", ""};
  std::shared_ptr<EngineSide> engine = std::make_shared<EngineSide>();
  Scheduler scheduler{lanes};  // its threads end before what their work refers to goes
  std::shared_ptr<CompletionDesk> completions;
  std::shared_ptr<ActionDesk> actions;

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
    const auto completion = [this](const char* method, void (CompletionDesk::*handler)(const Json&, Reply&)) {
      rpc.on_request(method, [this, handler](const Json& params, Reply& reply) { ((*completions).*handler)(params, reply); });
    };
    completion("textDocument/inlineCompletion", &CompletionDesk::inline_completion);
    completion("textDocument/completion", &CompletionDesk::popup_completion);
    const auto action = [this](const char* method, void (ActionDesk::*handler)(const Json&, Reply&)) {
      rpc.on_request(method, [this, handler](const Json& params, Reply& reply) { ((*actions).*handler)(params, reply); });
    };
    action("textDocument/codeAction", &ActionDesk::code_action);
    action("codeAction/resolve", &ActionDesk::resolve);
    action("workspace/executeCommand", &ActionDesk::execute);
    request("loopd/explain", &State::explain);
    request("loopd/generate", &State::generate);
    notification("initialized", &State::initialized);
    rpc.on_notification("window/workDoneProgress/cancel", [this](const Json& params) { actions->cancel_progress(params); });
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
    completions->set_client(client);
    actions->set_client(read.capabilities, client.encoding);
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
    completions->settings_changed();
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
    job.alone = true;
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

  void publish_status() {
    completions->set_loading(status.state == "loading");
    rpc.notify("loopd/status", to_json(status));
  }

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
    completions->opened(read.uri);
  }

  void did_change(const Json& params) {
    const ChangeParams read = read_change(params);
    documents.change(read);
    actions->document_changed(read.uri);
    completions->changed(read.uri);
  }

  void did_close(const Json& params) {
    const std::string uri = read_document_uri(params);
    documents.close(uri);
    completions->closed(uri);
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

  // The desks: completion_desk.h, actions/desk.h.

  DeskHooks desk_hooks() {
    DeskHooks desk;
    desk.post = hooks.post;
    desk.after = hooks.after;
    desk.log = hooks.log;
    desk.model = [engine = engine]() -> const ModelPort* { return engine->model ? &engine->model->port : nullptr; };
    desk.settings = [this]() -> const Settings& { return settings; };
    desk.relative = [this](const std::string& path) { return relative(path); };
    desk.silence = [this](const OpenDocument& open) { return silence(open); };
    desk.others = [this](const std::string& uri) { return others_of(uri); };
    return desk;
  }

  ActionReports action_reports() {
    ActionReports reports;
    reports.last_suggestion = [this](const std::string& uri) { return suggestion_report(uri); };
    reports.of = [this](const ActionResult& result, const std::string& action) {
      const OpenDocument* open = result.changes.empty() ? nullptr : documents.find(result.changes.front().uri);
      return report(result, action, open ? open->language : context::Language::none, status.model, status.device);
    };
    return reports;
  }

  // Own requests.

  void explain(const Json& params, Reply& reply) {
    reply(suggestion_report(read_document_uri(params)));
  }

  // Of the last suggestion in a document; null where there is none.
  Json suggestion_report(const std::string& uri) const {
    const Suggestion* last = completions->last(uri);
    const OpenDocument* open = documents.find(uri);
    if (!last || !open) return nullptr;
    Json out = report(last->completions.front(), open->language, status.model, status.device);
    // What an explicit request brought beside it, to be cycled through.
    out["alternatives"] = Json::array();
    for (std::size_t i = 1; i < last->completions.size(); ++i) {
      out["alternatives"].push_back(report(last->completions[i], open->language, status.model, status.device));
    }
    const Position at = to_position(*last->document, last->offset, client.encoding);
    out["position"] = {{"line", at.line}, {"character", at.character}};
    out["recalled"] = last->recalled;
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
  state_->actions->stop();
  state_->scheduler.stop();
}

bool Server::receive(std::string_view message) { return state_->rpc.receive(message); }

void Server::malformed(const std::string& why) { state_->rpc.parse_error(why); }

bool Server::exited() const { return state_->rpc.exited(); }

int Server::exit_code() const { return state_->rpc.exit_code(); }

}  // namespace lsp
