// Completion over the protocol: from a request's JSON to a lane of the scheduler and back, or to an answer that is known already.
//
// Lives on the event loop.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include <nlohmann/json.hpp>

#include "lsp/clients.h"
#include "lsp/desk.h"
#include "lsp/documents.h"
#include "lsp/foresight.h"
#include "lsp/json_rpc.h"
#include "lsp/protocol.h"
#include "lsp/recall.h"
#include "lsp/scheduler.h"

namespace lsp {

class CompletionDesk : public std::enable_shared_from_this<CompletionDesk> {
 public:
  CompletionDesk(const Documents& documents, Scheduler& engine, DeskHooks hooks);

  void set_client(const ClientProfile& client) { client_ = client; }
  // Until then a request is answered with nothing after a while: an editor must not hang on a cold disk.
  void set_loading(bool loading) { loading_ = loading; }
  void settings_changed();

  void inline_completion(const Json& params, Reply& reply);
  void popup_completion(const Json& params, Reply& reply);

  void opened(const std::string& uri);
  void changed(const std::string& uri);
  void closed(const std::string& uri);

  // The last answer about a document, null where there is none.
  const Suggestion* last(const std::string& uri) const;

 private:
  struct Ask;
  CompletionInput input_for(const OpenDocument& open, const Ask& ask) const;
  void prepare_request(const std::string& uri);
  void continue_selected(const InlineCompletionParams::Selected& selected, Ask& ask) const;
  void submit(const OpenDocument& open, Ask ask, Reply& reply);
  std::vector<Completion> remembered(const Ask& ask);
  // Whether a request at this place would be answered without the model.
  bool knows_answer(const std::string& uri, const context::Document& document, std::size_t offset) const;
  void finish(Reply& reply, const Ask& ask, const std::vector<Completion>& completions, Outcome outcome, const std::string& error);
  void trace(const std::string& uri, const Completion& completion) const;

  const Documents& documents_;
  Scheduler& engine_;
  DeskHooks hooks_;
  ClientProfile client_;
  TriggerKinds trigger_kinds_;
  bool loading_ = true;
  std::unordered_map<std::string, Suggestion> last_;  // by URI
  std::shared_ptr<Foresight> foresight_;
};

}  // namespace lsp
