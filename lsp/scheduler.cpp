// One queue, one thread; the only place on the engine thread where exceptions are caught.
#include "lsp/scheduler.h"

#include <algorithm>
#include <exception>
#include <utility>

namespace lsp {

struct Scheduler::Entry {
  explicit Entry(Job given) : job(std::move(given)) {}

  Job job;
  std::stop_source stop;
  bool superseded = false;  // guarded by the scheduler's mutex

  bool background() const { return job.priority == Job::Priority::background; }
  void finish(Outcome outcome, const std::string& error = "") {
    if (job.finished) job.finished(outcome, error);
  }
};

Scheduler::Scheduler() : thread_([this] { run(); }) {}

Scheduler::~Scheduler() { stop(); }

void Scheduler::submit(Job job) {
  const auto entry = std::make_shared<Entry>(std::move(job));
  std::deque<EntryPtr> dropped;
  std::optional<Outcome> refused;
  {
    const std::lock_guard lock(mutex_);
    if (!entry->job.document.empty()) supersede_locked(entry->job.document, entry->background(), dropped);
    // A request does not wait for what nobody waits for.
    if (running_ && running_->background() && !entry->background()) {
      running_->superseded = true;
      running_->stop.request_stop();
    }
    if (stopping_) {
      refused = Outcome::cancelled;
    } else if (waiting_.size() >= max_waiting) {
      refused = Outcome::refused;
    } else {
      waiting_.push_back(entry);
    }
  }
  changed_.notify_one();
  for (const auto& old : dropped) old->finish(Outcome::superseded);
  if (refused) entry->finish(*refused);
}

void Scheduler::supersede(const std::string& document) {
  std::deque<EntryPtr> dropped;
  {
    const std::lock_guard lock(mutex_);
    supersede_locked(document, false, dropped);
  }
  for (const auto& old : dropped) old->finish(Outcome::superseded);
}

void Scheduler::stop() {
  std::deque<EntryPtr> dropped;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    dropped.swap(waiting_);
    if (running_) running_->stop.request_stop();
  }
  changed_.notify_one();
  for (const auto& old : dropped) old->finish(Outcome::cancelled);
  if (thread_.joinable()) thread_.join();
}

void Scheduler::supersede_locked(const std::string& document, bool background_only, std::deque<EntryPtr>& dropped) {
  const auto stale = [&](const EntryPtr& entry) {
    return entry->job.document == document && (!background_only || entry->background());
  };
  for (auto entry = waiting_.begin(); entry != waiting_.end();) {
    if (stale(*entry)) {
      dropped.push_back(*entry);
      entry = waiting_.erase(entry);
    } else {
      ++entry;
    }
  }
  if (running_ && stale(running_)) {
    running_->superseded = true;
    running_->stop.request_stop();
  }
}

// The oldest request, else the oldest background job, else nothing.
Scheduler::EntryPtr Scheduler::next_locked() {
  if (waiting_.empty()) return nullptr;
  auto chosen = std::find_if(waiting_.begin(), waiting_.end(), [](const EntryPtr& entry) { return !entry->background(); });
  if (chosen == waiting_.end()) chosen = waiting_.begin();
  EntryPtr entry = *chosen;
  waiting_.erase(chosen);
  return entry;
}

void Scheduler::run() {
  while (true) {
    EntryPtr entry;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return stopping_ || !waiting_.empty(); });
      if (stopping_) return;
      entry = next_locked();
      running_ = entry;
    }
    Outcome outcome = Outcome::done;
    std::string error;
    {
      // Cancellation by the client reaches the work through the same token as everything else that makes it stale.
      const std::stop_callback forward(entry->job.cancelled, [&] { entry->stop.request_stop(); });
      try {
        if (!entry->stop.stop_requested()) entry->job.work(entry->stop.get_token());
      } catch (const std::exception& thrown) {
        outcome = Outcome::failed;
        error = thrown.what();
      }
    }
    {
      const std::lock_guard lock(mutex_);
      running_ = nullptr;
      if (entry->superseded) {
        outcome = Outcome::superseded;
      } else if (entry->stop.stop_requested()) {
        outcome = Outcome::cancelled;
      }
    }
    entry->finish(outcome, error);
  }
}

}  // namespace lsp
