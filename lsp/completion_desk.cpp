// Answers from what is known where that is possible, else sends the work to a lane of the scheduler.
#include "lsp/completion_desk.h"

#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

#include "lsp/alternatives.h"
#include "lsp/plan.h"
#include "lsp/report.h"

namespace lsp {
namespace {

// A request that comes while the model loads waits this long at most.
constexpr std::chrono::seconds patience{2};

// Who asks by a key may want another suggestion than the first, and cycles through this many.
constexpr std::size_t most_shown = 3;

}  // namespace

// What a completion request asks, whichever method it came by.
struct CompletionDesk::Ask {
  std::string uri;
  std::shared_ptr<const context::Document> document;
  std::shared_ptr<context::SyntaxTracker> syntax;  // null where `document` is not what the client has open
  std::size_t offset = 0;
  bool explicit_request = false;
  bool single_line = false;
  std::size_t most = 1;  // different suggestions
  std::function<Json(const std::vector<Completion>&)> answer;  // of one suggestion or more
  Json nothing;  // the answer where there is nothing to say
};

CompletionDesk::CompletionDesk(const Documents& documents, Scheduler& engine, DeskHooks hooks)
    : documents_(documents), engine_(engine), hooks_(std::move(hooks)) {
  foresight_ = std::make_shared<Foresight>(ForesightHooks{hooks_.after, hooks_.post, [this](Job job) { engine_.submit(std::move(job)); }, hooks_.model});
}

void CompletionDesk::settings_changed() {
  last_.clear();  // they were made under other settings
  foresight_->forget_all();
}

const Suggestion* CompletionDesk::last(const std::string& uri) const {
  const auto found = last_.find(uri);
  return found == last_.end() ? nullptr : &found->second;
}

// Documents.

void CompletionDesk::opened(const std::string& uri) {
  last_.erase(uri);
  foresight_->forget(uri);
  if (documents_.find(uri)->last_edit > 0) prepare_request(uri);
}

void CompletionDesk::changed(const std::string& uri) {
  foresight_->stir(uri);
  prepare_request(uri);
}

void CompletionDesk::closed(const std::string& uri) {
  engine_.supersede(uri);
  last_.erase(uri);
  foresight_->forget(uri);
}

CompletionInput CompletionDesk::input_for(const OpenDocument& open, const Ask& ask) const {
  const Settings& settings = hooks_.settings();
  CompletionInput input;
  input.session = open.uri;
  input.path = hooks_.relative(open.path);
  input.language = open.language;
  input.document = ask.document;
  input.syntax = ask.syntax;
  input.anchors = open.anchors;
  input.offset = ask.offset;
  input.explicit_request = ask.explicit_request;
  input.others = hooks_.others(open.uri);
  input.options.policy = settings.depth;
  input.options.max_tokens = settings.max_tokens;
  input.options.search_tokens = settings.search_tokens;
  input.options.budget.total = settings.context_tokens;
  input.options.snippet_count = settings.context_snippets;
  input.options.comments = settings.comments;
  input.options.single_line = ask.single_line;
  input.options.deadline = std::chrono::milliseconds(settings.deadline_ms) * (ask.explicit_request ? 10 : 1);
  return input;
}

// Brings the cache up to date while the client still waits for the user to stop typing.
void CompletionDesk::prepare_request(const std::string& uri) {
  const OpenDocument* open = documents_.find(uri);
  if (!open || !hooks_.silence(*open).empty()) return;
  Ask ask;
  ask.document = open->document;
  ask.syntax = open->syntax;
  ask.offset = open->last_edit;
  // Whoever types along a suggestion is answered from it; should they leave it, all that was typed is one run.
  if (knows_answer(uri, *ask.document, ask.offset)) return;
  Job job;
  job.document = uri;
  job.priority = Job::Priority::background;
  job.work = [model = hooks_.model, input = input_for(*open, ask)](std::stop_token stop) {
    if (const ModelPort* port = model()) prepare(*port, input, stop);
  };
  engine_.submit(std::move(job));
}

void CompletionDesk::inline_completion(const Json& params, Reply& reply) {
  const InlineCompletionParams read = read_inline_completion(params);
  Ask ask;
  ask.uri = read.at.uri;
  ask.explicit_request = trigger_kinds_.is_explicit(read.trigger_kind);
  if (ask.explicit_request) ask.most = most_shown;
  ask.nothing = to_json(std::vector<InlineCompletionItem>{});
  const OpenDocument* open = documents_.find(ask.uri);
  if (!open) return reply(ask.nothing);
  ask.document = open->document;
  ask.syntax = open->syntax;
  ask.offset = to_offset(*open->document, read.at.position, client_.encoding);
  ask.answer = [client = client_, document = ask.document, offset = ask.offset](const std::vector<Completion>& completions) {
    return to_json(ghost_text(client, *document, offset, completions));
  };
  if (read.selected) continue_selected(*read.selected, ask);
  submit(*open, std::move(ask), reply);
}

// While the popup is open only an extension of its selected item is shown: completes the text as it would be with the
// item accepted, and answers with both.
void CompletionDesk::continue_selected(const InlineCompletionParams::Selected& selected, Ask& ask) const {
  const std::size_t start = to_offset(*ask.document, selected.range.start, client_.encoding);
  const std::size_t end = to_offset(*ask.document, selected.range.end, client_.encoding);
  ask.document = ask.document->with_edit(start, end, selected.text, ask.document->version());
  ask.syntax = nullptr;
  ask.offset = start + selected.text.size();
  ClientProfile left_only = client_;
  left_only.right_range = false;
  ask.answer = [left_only, selected, document = ask.document, offset = ask.offset](const std::vector<Completion>& completions) {
    auto items = ghost_text(left_only, *document, offset, completions);
    for (auto& item : items) item = {selected.text + item.insert_text, selected.range};
    return to_json(items);
  };
}

void CompletionDesk::popup_completion(const Json& params, Reply& reply) {
  const PositionParams read = read_position(params);
  Ask ask;
  ask.uri = read.uri;
  ask.single_line = client_.popup_lines == ClientProfile::PopupLines::one;
  const OpenDocument* open = documents_.find(ask.uri);
  ask.nothing = to_json(std::vector<CompletionItem>{}, "");
  if (!open) return reply(ask.nothing);
  ask.document = open->document;
  ask.syntax = open->syntax;
  ask.offset = to_offset(*open->document, read.position, client_.encoding);
  ask.answer = [client = client_, document = ask.document, offset = ask.offset,
                language = std::string(context::name(open->language))](const std::vector<Completion>& completions) {
    return to_json(popup_items(client, *document, offset, completions.front()), language);
  };
  submit(*open, std::move(ask), reply);
}

// Answers at once where that is possible, else sends the work to a lane of the scheduler.
void CompletionDesk::submit(const OpenDocument& open, Ask ask, Reply& reply) {
  const std::string reason = hooks_.silence(open);
  if (!reason.empty()) {
    Completion none;
    none.explain = {reason};
    none.finish_reason = "off";
    last_[ask.uri] = {ask.document, ask.offset, ask.explicit_request, {none}};
    return reply(ask.nothing);
  }
  foresight_->stir(ask.uri);
  const CompletionInput input = input_for(open, ask);
  if (const auto left = remembered(ask); !left.empty()) {
    engine_.supersede(ask.uri);  // whatever still runs for the document is older
    foresight_->answered(input, left.front());
    return reply(ask.answer(left));
  }
  const auto pending = std::make_shared<Reply>(std::move(reply));
  const auto completions = std::make_shared<std::vector<Completion>>();
  Job job;
  job.document = ask.uri;
  job.cancelled = pending->cancelled();
  const std::chrono::milliseconds more_time(hooks_.settings().deadline_ms);
  job.work = [model = hooks_.model, input, most = ask.most, more_time, completions](std::stop_token stop) {
    const ModelPort* port = model();
    *completions = port ? complete_several(*port, input, most, more_time, stop) : std::vector<Completion>(1);
  };
  job.finished = [weak = weak_from_this(), post = hooks_.post, pending, completions, ask, input](Outcome outcome, const std::string& error) {
    post([weak, pending, completions, ask, input, outcome, error] {
      const auto self = weak.lock();
      if (!self) return;
      if (outcome == Outcome::done) self->foresight_->answered(input, completions->front());
      self->finish(*pending, ask, *completions, outcome, error);
    });
  };
  engine_.submit(std::move(job));
  if (loading_) {
    hooks_.after(patience, [pending, nothing = ask.nothing] { (*pending)(nothing); });
  }
}

bool CompletionDesk::knows_answer(const std::string& uri, const context::Document& document, std::size_t offset) const {
  const Suggestion* shown = last(uri);
  const Suggestion* next = foresight_->ahead(uri);
  return (shown && recalls(*shown, document, offset)) || (next && recalls(*next, document, offset));
}

// The answer without the model: the rest of the last suggestions, or what was foreseen for the place that the first led to.
// Empty where there is none.
std::vector<Completion> CompletionDesk::remembered(const Ask& ask) {
  std::vector<Completion> left;
  const auto known = last_.find(ask.uri);
  if (known != last_.end()) {
    left = recall(known->second, *ask.document, ask.offset, ask.explicit_request);
    known->second.recalled += left.empty() ? 0 : 1;
  }
  const Suggestion* next = foresight_->ahead(ask.uri);
  if (left.empty() && next) {
    left = recall(*next, *ask.document, ask.offset, ask.explicit_request);
    if (!left.empty()) (last_[ask.uri] = *next).recalled = 1;
  }
  if (left.size() > ask.most) left.resize(ask.most);
  return left;
}

void CompletionDesk::finish(Reply& reply, const Ask& ask, const std::vector<Completion>& completions, Outcome outcome, const std::string& error) {
  switch (outcome) {
    case Outcome::done:
      last_[ask.uri] = {ask.document, ask.offset, ask.explicit_request, completions};
      if (hooks_.settings().trace) {
        for (const Completion& completion : completions) trace(ask.uri, completion);
      }
      return reply(ask.answer(completions));
    case Outcome::superseded:
      return reply(nullptr);
    case Outcome::cancelled:
      return reply.error(ErrorCode::request_cancelled, "loopd is shutting down");
    case Outcome::failed:
      hooks_.log("completion failed: " + error);
      [[fallthrough]];
    case Outcome::refused:
      // VS Code pops up every error of this request, so that even a failure is answered with nothing to show.
      return reply(ask.nothing);
  }
}

void CompletionDesk::trace(const std::string& uri, const Completion& completion) const {
  std::string text = uri + ": " + completion.finish_reason + ", " + std::to_string(completion.timings.total) + " ms";
  for (const std::string& sentence : completion.explain) text += "\n  " + sentence;
  hooks_.log(text + "\n" + describe_steps(completion.steps));
}

}  // namespace lsp
