// Runs model work on threads of its own: the newest request of a document wins, every request is answered exactly once.
//
// Who owns what. The event loop calls submit(), supersede() and stop(); a lane, which is a thread, runs `work`. Jobs of
// different documents run side by side on as many lanes as there are and take turns at the model by the step (turns.h);
// jobs of one document never do, so that what belongs to a document needs no lock. `finished` may be called on either
// thread: on the lane after the work, on the caller's where a job never started. It must not block; the server posts to
// its event loop there.
// What is stale. A job is stale when a later job of the same document was submitted, when its client cancelled it or
// when the scheduler stops. A stale job that waits never starts; one that runs sees its stop_token set, ends within one
// loop of the model, and its result is not used.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

namespace lsp {

enum class Outcome {
  done,        // the work ran to its end
  superseded,  // a newer job of the document took its place
  cancelled,   // its own `cancelled` token was set, or the scheduler stopped
  refused,     // too many jobs wait
  failed,      // the work threw; the message comes along
};

struct Job {
  enum class Priority { request, background };

  std::string document;       // what "the newest wins" is about; empty: never superseded
  std::stop_token cancelled;  // the client's wish
  std::function<void(std::stop_token)> work;
  std::function<void(Outcome, const std::string& error)> finished;  // exactly once
  // Background work runs, one piece at a time, when there is no request and is stopped as soon as one arrives. It
  // supersedes only background work of its document.
  Priority priority = Priority::request;
  bool alone = false;  // starts when nothing else runs; nothing that was submitted later starts until it has ended
};

class Scheduler {
 public:
  static constexpr std::size_t max_waiting = 64;

  // `lanes`: jobs that run at once, at most.
  explicit Scheduler(std::size_t lanes = 1);
  ~Scheduler();  // stop()
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  void submit(Job job);
  // The document changed or closed so that what waits or runs for it is of no use.
  void supersede(const std::string& document);
  // Stops the running jobs, finishes the waiting ones as cancelled and joins the lanes.
  void stop();

 private:
  struct Entry;
  using EntryPtr = std::shared_ptr<Entry>;
  void run();
  void run(const EntryPtr& entry);
  bool may_start_locked(const Entry& entry) const;
  void supersede_locked(const std::string& document, bool background_only, std::deque<EntryPtr>& dropped);
  EntryPtr next_locked();

  std::mutex mutex_;  // guards what follows; never held while work or finished runs
  std::condition_variable changed_;
  std::deque<EntryPtr> waiting_;
  std::vector<EntryPtr> running_;  // until they have been finished
  bool stopping_ = false;
  std::size_t idle_ = 0;            // lanes that wait for work
  const std::size_t most_lanes_;
  std::vector<std::jthread> lanes_;  // started when there is work for them; last, so that they end first
};

}  // namespace lsp
