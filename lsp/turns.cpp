// A queue of waiting threads; whoever releases the turn says who is next.
#include "lsp/turns.h"

#include <algorithm>
#include <utility>

namespace lsp {

std::size_t Turns::waiting() const {
  const std::lock_guard lock(mutex_);
  return waiting_.size();
}

void Turns::call_next_locked() {
  held_ = !waiting_.empty();
  if (waiting_.empty()) return;
  auto next = std::find_if(waiting_.begin(), waiting_.end(), [](const Waiter* one) { return one->urgency == Urgency::request; });
  if (next == waiting_.end()) next = waiting_.begin();
  (*next)->called = true;
  waiting_.erase(next);
  called_.notify_all();
}

Turn::Turn(Turns* turns, Urgency urgency, std::stop_token stop) : turns_(turns), urgency_(urgency), stop_(std::move(stop)) {
  if (!turns_) {
    held_ = true;
    return;
  }
  std::unique_lock lock(turns_->mutex_);
  take_locked(lock);
}

Turn::~Turn() {
  if (!turns_ || !held_) return;
  const std::lock_guard lock(turns_->mutex_);
  turns_->call_next_locked();
}

// The turn passes from hand to hand: it is never free while somebody waits, so that nobody can jump the queue.
void Turn::take_locked(std::unique_lock<std::mutex>& lock) {
  Turns::Waiter self{urgency_};
  turns_->waiting_.push_back(&self);
  if (!turns_->held_) turns_->call_next_locked();
  held_ = turns_->called_.wait(lock, stop_, [&] { return self.called; });
  if (!held_) std::erase(turns_->waiting_, &self);
}

bool Turn::give_way() {
  if (!turns_ || !held_) return held_;
  std::unique_lock lock(turns_->mutex_);
  const bool wanted = std::any_of(turns_->waiting_.begin(), turns_->waiting_.end(), [&](const Turns::Waiter* one) {
    return one->urgency == Urgency::request || urgency_ == Urgency::background;
  });
  if (!wanted) return true;
  turns_->call_next_locked();
  take_locked(lock);
  return held_;
}

}  // namespace lsp
