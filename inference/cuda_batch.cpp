// Runs the jobs of all lanes together: every tick one loop for as many rows as fit, whichever loop each of them is in.
#include <algorithm>
#include <chrono>

#include "inference/cuda_device.h"

namespace inference {
namespace {

std::size_t of(int value) { return static_cast<std::size_t>(value); }
constexpr std::size_t kRows = cuda::kMaxDecodeRows;
// A part of a prompt this long or shorter goes as rows of a few passes; beyond it the matrix products of prefill win.
constexpr std::size_t kFewRows = 32;

// Rows of the loop at hand that a job has left to run.
std::size_t left(const CudaJob& job, const Positions& positions) { return positions.tokens().size() - job.starts[of(job.r) - 1]; }

}  // namespace

// What one tick does.
struct CudaDevice::Batch {
  struct Part {
    CudaJob* job;
    int r;
    std::size_t first, end;
  };
  std::vector<Part> parts;        // rows of a pass
  std::vector<CudaRow> rows;
  std::optional<Part> chunk;      // of a prompt
  std::vector<CudaRow> chunk_rows;
  std::vector<CudaJob*> choosing; // jobs whose loops are done
  std::vector<CudaState> choosing_states;
  CudaJob* reading = nullptr;     // wants logits
  std::vector<CudaState> reading_states;
  bool wait = false;              // for the device, so that what comes next can join or stop
};

void CudaDevice::finish(CudaJob& job) {
  api_.use_device(0);
  std::unique_lock lock(mutex_);
  if (of(job.depth) > tables_each_) throw std::runtime_error("CUDA: depth " + std::to_string(job.depth) + " is beyond the " + std::to_string(tables_each_) + " loops that the device keeps caches for; use --device cpu");
  jobs_.push_back(&job);
  ++job.lane->busy_;
  while (!job.done) {
    if (driving_) {
      changed_.wait(lock, [&] { return job.done || !driving_; });
      continue;
    }
    driving_ = true;
    while (!job.done) tick(lock);
    driving_ = false;
    changed_.notify_all();
  }
  --job.lane->busy_;
  if (job.failure) std::rethrow_exception(job.failure);
}

void CudaDevice::tick(std::unique_lock<std::mutex>& lock) {
  try {
    Batch batch = compose();
    lock.unlock();
    try {
      launch(batch);
    } catch (...) {
      lock.lock();
      throw;
    }
    lock.lock();
    settle(batch);
  } catch (...) {
    // What was on its way is unknown: every lane at hand starts again from nothing.
    fail_all(std::current_exception());
  }
  std::erase_if(jobs_, [](const CudaJob* job) { return job->done; });
  if (!jobs_.empty()) changed_.notify_all();
}

void CudaDevice::fail_all(const std::exception_ptr& failure) {
  for (CudaJob* job : jobs_) {
    if (job->done) continue;
    job->failure = failure;
    job->done = true;
    release(*job->lane);
    job->lane->positions_.clear();
  }
  changed_.notify_all();
}

void CudaDevice::plan(CudaJob& job) {
  CudaLane& lane = *job.lane;
  make_resident(lane);
  job.starts = lane.positions_.plan(job.depth, job.first_needed);
  if (lane.pages_.size() < of(job.depth)) lane.pages_.resize(of(job.depth));
  trim(lane);
}

// Decides under the lock what the next tick does. A job that cannot get memory fails alone.
CudaDevice::Batch CudaDevice::compose() {
  Batch batch;
  const auto now = std::chrono::steady_clock::now();
  for (CudaJob* job : jobs_) {
    if (job->done) continue;
    try {
      if (job->starts.empty()) plan(*job);
      const Positions& positions = job->lane->positions_;
      while (job->r < job->depth && left(*job, positions) == 0) ++job->r;
      const std::size_t count = left(*job, positions);
      if (count > 0) {
        if (job->stop.stop_requested() || (job->deadline && now >= *job->deadline)) {
          job->done = true;
          continue;
        }
        const std::size_t first = job->starts[of(job->r) - 1];
        if (count > kFewRows && forward_->prefill_ready()) {
          if (batch.chunk) continue;
          const std::size_t end = first + std::min(count, of(sizes_.chunk));
          prepare(*job->lane, job->r, first, end);
          for (std::size_t p = first; p < end; ++p) batch.chunk_rows.push_back(row(*job->lane, job->r, p));
          batch.chunk = Batch::Part{job, job->r, first, end};
        } else {
          const std::size_t room = kRows - batch.rows.size();
          if (room == 0) continue;
          const std::size_t end = first + std::min(count, room);
          prepare(*job->lane, job->r, first, end);
          for (std::size_t p = first; p < end; ++p) batch.rows.push_back(row(*job->lane, job->r, p));
          batch.parts.push_back({job, job->r, first, end});
        }
      } else if (job->head == CudaJob::Head::greedy) {
        if (batch.choosing.size() == kRows) continue;
        batch.choosing.push_back(job);
        batch.choosing_states.push_back({slot(*job->lane, job->depth, job->first), job->depth});
      } else if (job->head == CudaJob::Head::logits) {
        if (batch.reading) continue;
        batch.reading = job;
        for (std::size_t i = 0; i < job->count; ++i) batch.reading_states.push_back({slot(*job->lane, job->depth, job->first + i), job->depth});
      } else {
        job->complete = !job->stop.stop_requested();
        job->done = true;
      }
    } catch (...) {
      job->failure = std::current_exception();
      job->done = true;
      release(*job->lane);
      job->lane->positions_.clear();
      std::erase_if(batch.parts, [&](const Batch::Part& part) { return part.job == job; });
    }
  }
  std::erase_if(jobs_, [](const CudaJob* job) { return job->done; });  // their threads may go on from here
  batch.wait = long_loops_ || jobs_.size() > 1;
  return batch;
}

void CudaDevice::launch(Batch& batch) {
  if (!batch.rows.empty()) forward_->pass(batch.rows);
  if (batch.chunk) forward_->prefill(batch.chunk_rows);
  if (!batch.choosing.empty()) {
    std::vector<CudaForward::Rule> rules;
    forward_->limit(batch.choosing.front()->rule.vocabulary);
    for (const CudaJob* job : batch.choosing) {
      CudaForward::Rule rule;
      rule.allowed = job->rule.allowed;
      if (!job->rule.biased.empty()) rule.bias_token = job->rule.biased.front();
      rule.bias = job->rule.bias;
      rules.push_back(rule);
    }
    std::vector<cuda::Choice> choices(batch.choosing.size());
    forward_->choose(batch.choosing_states, rules, choices);
    for (std::size_t i = 0; i < choices.size(); ++i) batch.choosing[i]->choice = {choices[i].token, choices[i].logprob};
  }
  if (batch.reading) {
    batch.reading->logits.resize(batch.reading->count * of(model_.config.vocab_size));
    forward_->logits(batch.reading_states, batch.reading->logits.data());
  }
  if (batch.wait && !batch.rows.empty()) forward_->sync();
}

// Marks what has run. Jobs that ran go to the end of the line, so that those who found no room come first next time.
void CudaDevice::settle(Batch& batch) {
  const auto advance = [this](const Batch::Part& part) {
    CudaJob& job = *part.job;
    job.starts[of(part.r) - 1] = part.end;
    job.lane->positions_.advance(part.r, part.end, ring_);
    if (part.r > 1) trim(*job.lane);
    jobs_.remove(&job);
    jobs_.push_back(&job);
  };
  for (const Batch::Part& part : batch.parts) advance(part);
  if (batch.chunk) advance(*batch.chunk);
  for (CudaJob* job : batch.choosing) job->complete = job->done = true;
  if (batch.reading) batch.reading->complete = batch.reading->done = true;
}

}  // namespace inference
