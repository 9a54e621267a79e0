// Drives the CUDA forward as the device does, over page tables made for the purpose.
#include "inference/cuda_bench.h"

#include <algorithm>
#include <chrono>
#include <numeric>

#include "inference/cuda_forward.h"

namespace inference {
namespace {

using Clock = std::chrono::steady_clock;

std::size_t of(int value) { return static_cast<std::size_t>(value); }
std::size_t pages_of(std::size_t positions) { return (positions + cuda::kPage - 1) / cuda::kPage; }
double ms_since(Clock::time_point start) { return std::chrono::duration<double, std::milli>(Clock::now() - start).count(); }

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

std::size_t loop_bytes(const CudaWeights& weights) {
  std::size_t bytes = 0;
  for (const CudaLayer& layer : weights.layers) bytes += layer.qkv.bytes + layer.o.bytes + layer.gate_up.bytes + layer.down.bytes;
  return bytes;
}

// Multiply-adds of the linear layers of one loop over one token.
double loop_products(const CudaWeights& weights) {
  double products = 0;
  for (const CudaLayer& layer : weights.layers) {
    for (const cuda::Matrix* matrix : {&layer.qkv, &layer.o, &layer.gate_up, &layer.down}) products += static_cast<double>(matrix->rows) * matrix->cols;
  }
  return products;
}

// A cache for `lanes` timelines of `positions` each, with tables and states laid out one after the other.
class Lanes {
 public:
  Lanes(const cuda::Api& api, cuda::Stream stream, const Model& model, const CudaWeights& weights, int lanes, int depth, std::size_t positions, int chunk)
      : depth_(depth), pages_(pages_of(positions)) {
    sizes_.tables = lanes * depth;
    // Loops beyond the first read their last few pages only; they share those of loop 1's count, so that all tables look
    // alike, but for long contexts point all older entries at one page.
    sizes_.key_pages = lanes * static_cast<int>(pages_ + of(depth - 1) * kRingPages);
    sizes_.state_pages = lanes * depth * static_cast<int>(chunk > 16 ? pages_ : 1);
    sizes_.table_stride = static_cast<int>(pages_);
    sizes_.chunk = chunk;
    whole_states_ = chunk > 16;
    need_ = CudaForward::need(api, model, weights, sizes_);
    if (need_.caches + need_.scratch > free_bytes(api)) return;
    forward_ = std::make_unique<CudaForward>(api, stream, model, weights, sizes_);
    int next = 0;
    for (int table = 0; table < sizes_.tables; ++table) {
      std::vector<int> pages(pages_);
      const std::size_t own = table % depth == 0 ? pages_ : std::min(pages_, kRingPages);
      for (std::size_t i = 0; i < pages_; ++i) pages[i] = next + static_cast<int>(i % own);
      next += static_cast<int>(table % depth == 0 ? pages_ : kRingPages);
      forward_->set_table(table, 0, pages);
    }
    forward_->sync();
  }

  CudaForward* forward() { return forward_.get(); }
  CudaRow row(int lane, int r, std::size_t position) const {
    CudaRow row;
    row.token = static_cast<TokenId>(300 + (position * 7919 + of(lane)) % 10000);
    row.position = static_cast<int>(position);
    row.loop = r;
    row.table = lane * depth_;
    row.from = r > 1 ? slot(lane, r - 1, position) : -1;
    row.to = slot(lane, r, position);
    return row;
  }
  long long slot(int lane, int r, std::size_t position) const {
    const std::size_t pages = whole_states_ ? pages_ : 1;
    const std::size_t page = (of(lane) * of(depth_) + of(r - 1)) * pages + (whole_states_ ? position / cuda::kPage : 0);
    return static_cast<long long>(page * cuda::kPage + position % cuda::kPage);
  }

 private:
  static constexpr std::size_t kRingPages = 34;  // a chunk and the window before it
  static std::size_t free_bytes(const cuda::Api& api) {
    cuda::DeviceInfo info;
    api.device_info(&info, 0);
    return info.free_bytes > (std::size_t{256} << 20) ? info.free_bytes - (std::size_t{256} << 20) : 0;
  }

  int depth_;
  std::size_t pages_;
  bool whole_states_ = false;
  CudaSizes sizes_;
  CudaNeed need_;
  std::unique_ptr<CudaForward> forward_;
};

double decode_ms(Lanes& lanes, int depth, int batch, std::size_t context) {
  CudaForward& forward = *lanes.forward();
  const std::vector<CudaForward::Rule> rules(of(batch));
  std::vector<cuda::Choice> choices(of(batch));
  std::vector<double> times;
  for (std::size_t step = 0; step < 48; ++step) {
    const auto start = Clock::now();
    std::vector<CudaState> states;
    for (int r = 1; r <= depth; ++r) {
      std::vector<CudaRow> rows;
      for (int lane = 0; lane < batch; ++lane) rows.push_back(lanes.row(lane, r, context + step));
      forward.pass(rows);
    }
    for (int lane = 0; lane < batch; ++lane) states.push_back({lanes.slot(lane, depth, context + step), depth});
    forward.choose(states, rules, choices);
    if (step >= 8) times.push_back(ms_since(start));
  }
  return median(times);
}

double prefill_ms(Lanes& lanes, const ModelConfig& config, int depth, std::size_t context, int chunk) {
  CudaForward& forward = *lanes.forward();
  if (!forward.prefill_ready()) throw std::runtime_error("CUDA: prefill needs cuBLASLt, which is not there");
  std::vector<double> times;
  const std::size_t reach = of(config.layers) * of(config.window - 1);
  for (int round = 0; round < 3; ++round) {
    const auto start = Clock::now();
    for (int r = 1; r <= depth; ++r) {
      // Only the last logits are wanted, so a later loop starts late.
      const std::size_t wanted = of(depth - r + 1) * reach + 1;
      for (std::size_t first = r > 1 && context > wanted ? context - wanted : 0; first < context; first += of(chunk)) {
        std::vector<CudaRow> rows;
        for (std::size_t p = first; p < std::min(context, first + of(chunk)); ++p) rows.push_back(lanes.row(0, r, p));
        forward.prefill(rows);
      }
    }
    times.push_back(ms_since(start));
  }
  return *std::min_element(times.begin(), times.end());
}

}  // namespace

void cuda_bench(const Model& model, const CudaBenchRequest& request, const std::function<void(const CudaBenchRow&)>& row,
                const std::function<void(const std::string&)>& note) {
  const CudaPlugin plugin = open_cuda_plugin();
  const cuda::Api& api = *plugin.api;
  const ModelConfig& config = model.config;
  const std::size_t bytes = cuda_weight_bytes(api, model);
  if (bytes > plugin.device.free_bytes) throw std::runtime_error("CUDA: the weights take " + std::to_string(bytes >> 20) + " MiB, " + std::to_string(plugin.device.free_bytes >> 20) + " MiB are free");
  CudaBenchRow result;
  result.device = plugin.device.name;
  result.copy_bandwidth_gbs = api.measure_copy_bandwidth() / 1e9;
  const CudaStream owned(api);
  const cuda::Stream stream = owned.get();
  CudaMemory memory(api);
  const CudaWeights weights = upload_weights(api, stream, memory, model);
  const auto kv_bytes = [&](std::size_t positions) { return static_cast<double>(positions) * of(config.layers) * 2 * of(config.kv_width()) * 2; };
  for (const int depth : request.depths) {
    for (const std::size_t context : request.contexts) {
      for (const int batch : request.decode ? request.batches : std::vector<int>{1}) {
        result.depth = depth;
        result.context = context;
        result.batch = batch;
        const int chunk = request.decode ? 16 : static_cast<int>(std::min<std::size_t>(config.hidden_size < 2048 ? 512 : 2048, context));
        if (context + 64 > of(config.max_positions) || (!request.decode && context == 0)) continue;
        Lanes lanes(api, stream, model, weights, batch, depth, context + 64, chunk);
        if (!lanes.forward()) {
          note("depth " + std::to_string(depth) + ", batch " + std::to_string(batch) + ", context " + std::to_string(context) + ": does not fit the device's memory");
          continue;
        }
        if (request.decode) {
          result.ms_per_token = decode_ms(lanes, depth, batch, context);
          const double caches = batch * (depth * kv_bytes(context) + (depth - 1) * kv_bytes(std::min<std::size_t>(context, of(config.window))));
          result.bandwidth_gbs = (static_cast<double>(loop_bytes(weights)) * depth + static_cast<double>(weights.head.bytes) + caches) / result.ms_per_token / 1e6;
        } else {
          const double ms = prefill_ms(lanes, config, depth, context, chunk);
          result.tokens_per_s = static_cast<double>(context) / ms * 1e3;
          double positions = static_cast<double>(context);
          for (int r = 2; r <= depth; ++r) positions += static_cast<double>(std::min(context, of(depth - r + 1) * of(config.layers) * of(config.window - 1) + 1));
          result.tflops = 2 * loop_products(weights) * positions / ms / 1e9;
        }
        row(result);
      }
    }
  }
}

}  // namespace inference
