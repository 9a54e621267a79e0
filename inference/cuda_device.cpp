// Memory of a CUDA device: how much a model needs, which lane holds which pages, and who has to give some back.
#include "inference/cuda_device.h"

#include <algorithm>
#include <cstdio>
#include <stdexcept>

namespace inference {
namespace {

constexpr std::size_t kPage = cuda::kPage;
constexpr std::size_t kLanes = 64;            // lanes whose caches may be on the device at once
constexpr std::size_t kDeepest = 8;           // loops that a lane has page tables for
constexpr std::size_t kRingChunks = 3;        // as on the CPU: a cursor that moves back by less finds its ring intact
constexpr std::size_t kWantedLanes = 16;      // full contexts that the caches are meant for where there is room
constexpr std::size_t kWantedContext = 8192;  // tokens of each, where the model has more
constexpr std::size_t kReserve = std::size_t{256} << 20;  // left to the driver: modules, graphs, the matrix library

std::size_t of(int value) { return static_cast<std::size_t>(value); }
std::size_t pages_of(std::size_t positions) { return (positions + kPage - 1) / kPage; }

std::string gigabytes(std::size_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f GB", static_cast<double>(bytes) / 1e9);
  return text;
}

std::vector<int> numbers(std::size_t count, std::size_t step = 1) {
  std::vector<int> all;
  for (std::size_t i = count; i > 0; --i) all.push_back(static_cast<int>((i - 1) * step));
  return all;
}

// Cache pages for `contexts` timelines of `tokens` each.
CudaSizes sizes_for(const ModelConfig& config, cuda::Type keys, std::size_t contexts, std::size_t tokens, std::size_t ring) {
  const std::size_t later = of(config.max_depth) - 1;
  const std::size_t states = contexts > 1 ? std::min<std::size_t>(of(config.max_depth), 3) : of(config.max_depth);
  CudaSizes sizes;
  sizes.key_pages = static_cast<int>(contexts * (pages_of(tokens) + later * (pages_of(ring) + 1)));
  sizes.state_pages = static_cast<int>(contexts * pages_of(tokens) * states);
  sizes.tables = static_cast<int>(kLanes * kDeepest);
  sizes.table_stride = static_cast<int>(pages_of(of(config.max_positions)));
  sizes.chunk = config.hidden_size < 2048 ? 512 : 1024;
  sizes.keys = keys;
  return sizes;
}

}  // namespace

CudaDevice::CudaDevice(const CudaPlugin& plugin, const Model& model, const CudaOptions& options)
    : api_(*plugin.api), model_(model), stream_(api_), memory_(api_) {
  const ModelConfig& config = model.config;
  ring_ = of(config.window) + kRingChunks * kChunk;
  tables_each_ = kDeepest;

  // Whatever is needed is known before anything is taken.
  const std::size_t free = options.memory > 0 ? std::min(options.memory, plugin.device.free_bytes) : plugin.device.free_bytes;
  const std::size_t weight_bytes = cuda_weight_bytes(api_, model);
  const std::size_t context = std::min(of(config.max_positions), kWantedContext);
  CudaWeights shapes = cuda_weight_shapes(api_, model);
  const auto need = [&](std::size_t contexts) {
    sizes_ = sizes_for(config, options.keys, contexts, context, ring_);
    return CudaForward::need(api_, model, shapes, sizes_);
  };
  const auto fits = [&](std::size_t contexts) {
    const CudaNeed one = need(contexts);
    return weight_bytes + one.caches + one.scratch + kReserve <= free;
  };
  if (!fits(1)) {
    const CudaNeed one = need(1);
    throw std::runtime_error("CUDA: too little memory on " + std::string(plugin.device.name) + ": " + gigabytes(weight_bytes + one.caches + one.scratch + kReserve) +
                             " are needed (" + gigabytes(weight_bytes) + " weights, " + gigabytes(one.caches) + " keys, values and states of " +
                             std::to_string(context) + " tokens, " + gigabytes(one.scratch) + " scratch), " + gigabytes(free) + " are free");
  }
  std::size_t contexts = kWantedLanes;
  while (!fits(contexts)) --contexts;

  weights_ = upload_weights(api_, stream_.get(), memory_, model);
  forward_ = std::make_unique<CudaForward>(api_, stream_.get(), model, weights_, sizes_);
  long_loops_ = weight_bytes > std::size_t{1} << 30;
  free_keys_ = numbers(of(sizes_.key_pages));
  free_states_ = numbers(of(sizes_.state_pages));
  free_tables_ = numbers(kLanes, kDeepest);
}

std::size_t CudaDevice::cache_tokens() const { return of(sizes_.key_pages) * kPage; }

std::string CudaDevice::memory_summary() const {
  const CudaNeed need = CudaForward::need(api_, model_, weights_, sizes_);
  return gigabytes(memory_.bytes()) + " of weights, " + gigabytes(need.caches) + " of caches for " + std::to_string(cache_tokens()) + " tokens";
}

// ---- Pages. All of these are called with the mutex held.

long long CudaDevice::slot(const CudaLane& lane, int r, std::size_t position) const {
  const int page = lane.pages_[of(r) - 1].states[position / kPage];
  return static_cast<long long>(page) * static_cast<long long>(kPage) + static_cast<long long>(position % kPage);
}

CudaRow CudaDevice::row(const CudaLane& lane, int r, std::size_t position) const {
  CudaRow row;
  row.token = lane.positions_.tokens()[position];
  row.position = static_cast<int>(position);
  row.loop = r;
  row.table = lane.table_;
  row.first = static_cast<int>(lane.positions_.span(r).begin);
  row.from = r > 1 ? slot(lane, r - 1, position) : -1;
  row.to = slot(lane, r, position);
  return row;
}

void CudaDevice::release(CudaLane& lane) {
  for (CudaLane::LoopPages& loop : lane.pages_) {
    for (const int page : loop.keys) {
      if (page >= 0) free_keys_.push_back(page);
    }
    for (const int page : loop.states) {
      if (page >= 0) free_states_.push_back(page);
    }
  }
  lane.pages_.clear();
  if (lane.table_ >= 0) free_tables_.push_back(lane.table_);
  lane.table_ = -1;
}

// Takes everything from the lane that nobody has used for longest. Its tokens stay; they are computed again when asked for.
bool CudaDevice::evict_one(const CudaLane& wanted_by) {
  for (CudaLane* lane : lanes_) {
    if (lane == &wanted_by || lane->busy_ > 0 || lane->table_ < 0) continue;
    release(*lane);
    lane->positions_.clear();
    return true;
  }
  return false;
}

int CudaDevice::take_page(std::vector<int>& pool, const CudaLane& wanted_by, const char* what) {
  while (pool.empty()) {
    if (!evict_one(wanted_by)) {
      throw std::runtime_error("CUDA: the cache of " + std::to_string(cache_tokens()) + " tokens has no room for more " + what +
                               " of the requests at hand");
    }
  }
  const int page = pool.back();
  pool.pop_back();
  return page;
}

void CudaDevice::make_resident(CudaLane& lane) {
  if (lane.table_ < 0) {
    lane.positions_.clear();
    lane.table_ = take_page(free_tables_, lane, "page tables");
  }
  lanes_.remove(&lane);
  lanes_.push_back(&lane);
}

// Gives back the pages of positions that the bookkeeping no longer counts as computed.
void CudaDevice::trim(CudaLane& lane) {
  const auto give_back = [](std::vector<int>& pages, std::vector<int>& pool, std::size_t begin, std::size_t end) {
    for (std::size_t i = 0; i < pages.size(); ++i) {
      if (pages[i] < 0 || (i >= begin && i < end)) continue;
      pool.push_back(pages[i]);
      pages[i] = -1;
    }
  };
  const int loops = std::min(lane.positions_.loops(), static_cast<int>(lane.pages_.size()));
  for (int r = 1; r <= loops; ++r) {
    const LoopSpan& span = lane.positions_.span(r);
    CudaLane::LoopPages& pages = lane.pages_[of(r) - 1];
    give_back(pages.keys, free_keys_, (r == 1 ? span.begin : std::max(span.begin, span.oldest)) / kPage, pages_of(span.end));
    give_back(pages.states, free_states_, span.begin / kPage, pages_of(span.end));
  }
}

// Makes room in loop r for [first, end), which is about to run.
void CudaDevice::prepare(CudaLane& lane, int r, std::size_t first, std::size_t end) {
  lane.positions_.start(r, first);
  CudaLane::LoopPages& pages = lane.pages_[of(r) - 1];
  const std::size_t needed = pages_of(end);
  if (pages.keys.size() < needed) {
    pages.keys.resize(needed, -1);
    pages.states.resize(needed, -1);
  }
  std::size_t changed_from = needed;
  for (std::size_t i = first / kPage; i < needed; ++i) {
    if (pages.states[i] < 0) pages.states[i] = take_page(free_states_, lane, "states");
    if (pages.keys[i] >= 0) continue;
    pages.keys[i] = take_page(free_keys_, lane, "keys");
    changed_from = std::min(changed_from, i);
  }
  if (changed_from < needed) {
    forward_->set_table(lane.table_ + r - 1, changed_from, std::span<const int>(pages.keys).subspan(changed_from, needed - changed_from));
  }
}

// ---- Lanes

std::unique_ptr<Lane> CudaDevice::open_lane() { return std::make_unique<CudaLane>(*this); }

CudaLane::CudaLane(CudaDevice& device) : device_(device), positions_(device.model_.config) {
  const std::lock_guard lock(device_.mutex_);
  device_.lanes_.push_front(this);
}

CudaLane::~CudaLane() {
  const std::lock_guard lock(device_.mutex_);
  device_.lanes_.remove(this);
  device_.release(*this);
}

std::size_t CudaLane::cached() const {
  const std::lock_guard lock(device_.mutex_);
  return positions_.span(1).end;
}

// The decode kernels see to it (cuda/plugin.h), but for wide models beyond 8 rows.
bool CudaLane::exact_batches() const { return device_.model_.config.hidden_size <= 2560; }

std::size_t CudaLane::replace(std::span<const TokenId> tokens) {
  const std::lock_guard lock(device_.mutex_);
  return positions_.replace(tokens);
}

bool CudaLane::run(int depth, std::size_t first_needed, const std::stop_token& stop, const Deadline& deadline) {
  CudaJob job;
  job.lane = this;
  job.depth = depth;
  job.first_needed = first_needed;
  job.stop = stop;
  job.deadline = deadline;
  device_.finish(job);
  return job.complete;
}

void CudaLane::logits(int depth, std::size_t first, std::size_t count, std::vector<float>& to) {
  CudaJob job;
  job.lane = this;
  job.depth = depth;
  job.first_needed = first;
  job.head = CudaJob::Head::logits;
  job.first = first;
  job.count = count;
  device_.finish(job);
  to = std::move(job.logits);
}

std::optional<Sampled> CudaLane::greedy(int depth, const GreedyRule& rule) {
  if (rule.biased.size() > 1) return std::nullopt;
  CudaJob job;
  job.lane = this;
  job.depth = depth;
  job.first = job.first_needed = tokens().size() - 1;
  job.count = 1;
  job.head = CudaJob::Head::greedy;
  job.rule = rule;
  device_.finish(job);
  if (job.choice.token < 0) return std::nullopt;
  return job.choice;
}

}  // namespace inference
