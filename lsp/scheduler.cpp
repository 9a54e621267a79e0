// One queue, some threads; the only place on them where exceptions are caught.
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

Scheduler::Scheduler(std::size_t lanes) : most_lanes_(std::max<std::size_t>(1, lanes)) {}

Scheduler::~Scheduler() { stop(); }

void Scheduler::submit(Job job) {
  const auto entry = std::make_shared<Entry>(std::move(job));
  std::deque<EntryPtr> dropped;
  std::optional<Outcome> refused;
  {
    const std::lock_guard lock(mutex_);
    if (!entry->job.document.empty()) supersede_locked(entry->job.document, entry->background(), dropped);
    // A request does not wait for what nobody waits for.
    for (const EntryPtr& running : running_) {
      if (entry->background() || !running->background()) continue;
      running->superseded = true;
      running->stop.request_stop();
    }
    if (stopping_) {
      refused = Outcome::cancelled;
    } else if (waiting_.size() >= max_waiting) {
      refused = Outcome::refused;
    } else {
      waiting_.push_back(entry);
      if (waiting_.size() > idle_ && lanes_.size() < most_lanes_) lanes_.emplace_back([this] { run(); });
    }
  }
  changed_.notify_all();
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
    for (const EntryPtr& running : running_) running->stop.request_stop();
  }
  changed_.notify_all();
  for (const auto& old : dropped) old->finish(Outcome::cancelled);
  for (std::jthread& lane : lanes_) {
    if (lane.joinable()) lane.join();
  }
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
  for (const EntryPtr& running : running_) {
    if (!stale(running)) continue;
    running->superseded = true;
    running->stop.request_stop();
  }
}

bool Scheduler::may_start_locked(const Entry& entry) const {
  if (entry.job.alone || entry.background()) return running_.empty();
  return std::none_of(running_.begin(), running_.end(), [&](const EntryPtr& running) {
    return running->job.alone || (!entry.job.document.empty() && running->job.document == entry.job.document);
  });
}

// The oldest request that may start, else the oldest background job, else nothing.
Scheduler::EntryPtr Scheduler::next_locked() {
  auto chosen = waiting_.end();
  for (auto entry = waiting_.begin(); entry != waiting_.end(); ++entry) {
    const bool may_start = may_start_locked(**entry);
    if (may_start && !(*entry)->background()) {
      chosen = entry;
      break;
    }
    if (may_start && chosen == waiting_.end()) chosen = entry;
    if ((*entry)->job.alone) break;
  }
  if (chosen == waiting_.end()) return nullptr;
  EntryPtr entry = *chosen;
  waiting_.erase(chosen);
  running_.push_back(entry);
  return entry;
}

void Scheduler::run() {
  while (true) {
    EntryPtr entry;
    {
      std::unique_lock lock(mutex_);
      ++idle_;
      changed_.wait(lock, [&] { return stopping_ || (entry = next_locked()); });
      --idle_;
      if (!entry) return;
    }
    run(entry);
    {
      const std::lock_guard lock(mutex_);
      std::erase(running_, entry);
    }
    changed_.notify_all();  // what waited for it to end
  }
}

void Scheduler::run(const EntryPtr& entry) {
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
    if (entry->superseded) {
      outcome = Outcome::superseded;
    } else if (entry->stop.stop_requested()) {
      outcome = Outcome::cancelled;
    }
  }
  entry->finish(outcome, error);
}

}  // namespace lsp
