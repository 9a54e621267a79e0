// Code actions over the protocol: offers them, carries out the chosen one, shows its progress, and applies the result.
//
// Offers are found on a thread of their own, because they need a tree and the event loop parses nothing; chosen actions run
// on a lane of the scheduler like completions. An action is carried out once, whether the client asks by its command, by resolving
// its edit, or by both, one after the other, as some clients do.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "lsp/actions/messages.h"
#include "lsp/actions/actions.h"
#include "lsp/desk.h"
#include "lsp/documents.h"
#include "lsp/json_rpc.h"
#include "lsp/actions/module.h"
#include "lsp/protocol.h"
#include "lsp/scheduler.h"

namespace lsp {

// What the server says about results.
struct ActionReports {
  std::function<Json(const std::string& uri)> last_suggestion;  // its report, null where there is none
  std::function<Json(const ActionResult& result, const std::string& action)> of;
};

class ActionDesk : public std::enable_shared_from_this<ActionDesk> {
 public:
  ActionDesk(Dispatcher& rpc, const Documents& documents, Scheduler& engine, DeskHooks hooks, ActionReports reports);
  ~ActionDesk();

  void set_client(const ClientCapabilities& client, PositionEncoding encoding);

  void code_action(const Json& params, Reply& reply);
  void resolve(const Json& action, Reply& reply);
  void execute(const Json& params, Reply& reply);
  void cancel_progress(const Json& params);
  void cancel_all();
  // The user went on writing: an action for the text as it was is of no use any more.
  void document_changed(const std::string& uri);
  void stop();

 private:
  struct Task;
  using TaskPtr = std::shared_ptr<Task>;
  void offer(const std::string& uri, std::shared_ptr<Reply> reply, const CodeActionParams& params);
  std::optional<ActionPlace> place_of(const ActionRef& ref, ActionOffer& offer) const;
  TaskPtr start(const std::string& title, const std::string& uri, std::string token);
  void begin_progress(const TaskPtr& task);
  void finish_progress(const TaskPtr& task, const std::string& message);
  std::function<void(const std::string&)> progress_of(const TaskPtr& task);
  void run(const ActionRef& ref, const TaskPtr& task, std::function<void(ActionResult)> then);
  void run_module(const ExecuteParams& params);
  void apply(const std::string& title, const std::string& action, const ActionResult& result);
  void write_after_asking(const std::string& title, const ActionResult& result);
  void explain(const std::string& uri);
  FillOptions fill_options(const std::string& uri, ActionKind kind) const;
  ReadFile reader() const;
  std::vector<EditedFile> edited_files(const ActionResult& result) const;
  std::string why_nothing(const ActionResult& result) const;

  Dispatcher& rpc_;
  const Documents& documents_;
  Scheduler& engine_;
  DeskHooks hooks_;
  ActionReports reports_;
  ClientCapabilities client_;
  PositionEncoding encoding_ = PositionEncoding::utf16;
  std::uint64_t next_id_ = 1;
  std::set<std::uint64_t> done_;           // offers that were carried out
  std::map<std::string, TaskPtr> running_;  // by the token of their progress
  Json last_result_;                       // report of the last action, for "explain"
  Scheduler offers_;  // last: its thread ends first
};

}  // namespace lsp
