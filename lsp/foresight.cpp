// One background job a pause.
#include "lsp/foresight.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "lsp/plan.h"

namespace lsp {
namespace {

// The same place once the suggestion has been taken.
CompletionInput taken(const CompletionInput& input, const Completion& shown) {
  CompletionInput next = input;
  const std::size_t at = std::min(input.offset, input.document->text().size());
  next.document = input.document->with_edit(at, at + shown.replace_after, shown.text, input.document->version());
  next.syntax = nullptr;
  next.offset = at + shown.text.size();
  next.explicit_request = false;
  next.ahead = true;
  return next;
}

}  // namespace

void Foresight::answered(const CompletionInput& input, const Completion& shown) {
  hooks_.after(pause, [weak = weak_from_this(), input, shown, stirred = last_stir(input.session)] {
    const auto self = weak.lock();
    if (self && stirred != 0 && self->last_stir(input.session) == stirred) self->look_ahead(input, shown);
  });
}

// 0: the document is closed.
std::uint64_t Foresight::last_stir(const std::string& uri) const {
  const auto found = stirred_.find(uri);
  return found == stirred_.end() ? 0 : found->second;
}

void Foresight::look_ahead(const CompletionInput& input, const Completion& shown) {
  Suggestion next;
  std::optional<CompletionInput> there;
  if (!shown.text.empty() && shown.probability >= likely_enough) {
    there = taken(input, shown);
    next.document = there->document;
    next.offset = there->offset;
    const Suggestion* known = ahead(input.session);
    // The user typed along the suggestion, which leads to the same place.
    if (known && known->offset == next.offset && known->document->text() == next.document->text()) there.reset();
  }
  const auto completion = std::make_shared<Completion>();
  Job job;
  job.document = input.session;
  job.priority = Job::Priority::background;
  job.work = [model = hooks_.model, input, there, completion](std::stop_token stop) {
    const ModelPort* port = model();
    if (!port) return;
    if (there) *completion = complete(*port, *there, stop);
    if (!stop.stop_requested()) renew(*port, input, stop);
  };
  job.finished = [weak = weak_from_this(), post = hooks_.post, uri = input.session, wanted = there.has_value(), next, completion](Outcome outcome, const std::string&) {
    if (outcome != Outcome::done || !wanted || completion->finish_reason == "off") return;
    post([weak, uri, next, completion] {
      const auto self = weak.lock();
      if (!self || self->last_stir(uri) == 0) return;
      self->ahead_[uri] = next;
      self->ahead_[uri].completions = {*completion};
    });
  };
  hooks_.submit(std::move(job));
}

const Suggestion* Foresight::ahead(const std::string& uri) const {
  const auto found = ahead_.find(uri);
  return found == ahead_.end() ? nullptr : &found->second;
}

void Foresight::forget(const std::string& uri) {
  ahead_.erase(uri);
  stirred_.erase(uri);
}

void Foresight::forget_all() { ahead_.clear(); }

}  // namespace lsp
