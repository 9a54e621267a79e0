// Loads a model and describes it; nothing here changes after load.
#include "inference/engine.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <thread>

#include "inference/chat.h"
#include "inference/cpu_device.h"
#include "inference/cuda_device.h"
#include "inference/fallback_device.h"

namespace inference {
namespace {

// What ends a completion, beside the ids that config.json names: ends of text and of middle, and the start of anything
// that the model writes after a middle it has finished.
constexpr std::string_view kStops[] = {"<|endoftext|>", "<|fim_end|>",    "<|fim_pad|>",   "<|im_end|>",     "<|file_sep|>",
                                       "<|repo_name|>", "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"};

// Cores this process may keep busy. In a container that may be far fewer than it sees, and threads that spin on cores they
// do not get stand still for most of each period. Format of cpu.max: "QUOTA PERIOD" in microseconds, QUOTA "max" for none.
int usable_cores() {
  const int seen = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  std::ifstream file("/sys/fs/cgroup/cpu.max");
  double quota = 0, period = 0;
  if (!(file >> quota >> period) || quota <= 0 || period <= 0) return seen;
  return std::clamp(static_cast<int>(quota / period + 0.5), 1, seen);
}

// Environment variables rather than settings: who needs these knows the machine, not the project.
CudaOptions cuda_options(const EngineOptions& options) {
  CudaOptions cuda;
  cuda.memory = options.device_memory;
  if (const char* megabytes = std::getenv("LOOPD_CUDA_MEMORY_MB"); megabytes && *megabytes) {
    cuda.memory = static_cast<std::size_t>(std::strtoull(megabytes, nullptr, 10)) << 20;
  }
  if (const char* keys = std::getenv("LOOPD_CUDA_KV"); keys && std::string_view(keys) == "fp8") cuda.keys = cuda::Type::fp8;
  return cuda;
}

std::size_t bytes_per_loop(const Model& model) {
  std::size_t bytes = 0;
  for (const Layer& layer : model.layers) {
    for (const Matrix* matrix : {&layer.q, &layer.k, &layer.v, &layer.o, &layer.gate, &layer.up, &layer.down}) bytes += matrix->bytes();
  }
  return bytes;
}

std::size_t parameters(const Model& model) {
  const auto size = [](const Matrix& matrix) { return static_cast<std::size_t>(matrix.rows) * static_cast<std::size_t>(matrix.cols); };
  std::size_t count = size(model.embedding) + size(model.head);
  for (const Layer& layer : model.layers) {
    for (const Matrix* matrix : {&layer.q, &layer.k, &layer.v, &layer.o, &layer.gate, &layer.up, &layer.down}) count += size(*matrix);
  }
  return count;
}

// Opens the device that was asked for, or the best there is, and says in `info` which and why.
std::unique_ptr<Device> open_device(const EngineOptions& options, Model& model, EngineInfo& info) {
  const auto open_cpu = [&model, reference = options.reference, threads = info.threads, prefix_mb = options.prefix_cache_mb]() -> std::unique_ptr<Device> {
    return std::make_unique<CpuDevice>(model, reference, threads, prefix_mb << 20);
  };
  info.device = "cpu";
  info.device_reason = "asked for";
  info.kernels = options.reference ? "reference" : fast_ops_target();
  if (options.device == "cpu" || options.reference) return open_cpu();
  try {
    const CudaPlugin plugin = open_cuda_plugin();
    auto cuda = std::make_unique<CudaDevice>(plugin, model, cuda_options(options));
    info.device = "cuda";
    info.device_reason = std::string(plugin.device.name) + "; " + cuda->memory_summary();
    info.kernels = "sm_" + std::to_string(plugin.device.major) + std::to_string(plugin.device.minor);
    return std::make_unique<FallbackDevice>(std::move(cuda), open_cpu);
  } catch (const std::exception& error) {
    if (options.device == "cuda") throw std::runtime_error(std::string("device cuda: ") + error.what() + "; use --device cpu or --device auto");
    info.device_reason = error.what();
  }
  return open_cpu();
}

}  // namespace

std::string_view name(FinishReason reason) {
  switch (reason) {
    case FinishReason::end_token: return "end_token";
    case FinishReason::max_tokens: return "max_tokens";
    case FinishReason::stop_rule: return "stop_rule";
    case FinishReason::deadline: return "deadline";
    case FinishReason::cancelled: return "cancelled";
    case FinishReason::context_full: return "context_full";
  }
  return "?";
}

std::shared_ptr<const Engine> Engine::load(const EngineOptions& options) {
  std::shared_ptr<Engine> engine(new Engine);
  EngineInfo& info = engine->info_;
  if (options.device != "auto" && options.device != "cpu" && options.device != "cuda") {
    throw std::runtime_error("device \"" + options.device + "\" is unknown; expected auto, cpu or cuda");
  }
  std::unique_ptr<Model> loaded = load_model(options.model_dir, options.need_tokenizer);
  Model& model = *loaded;
  engine->model_ = std::move(loaded);
  const ModelConfig& config = model.config;

  const int cores = usable_cores();
  if (options.threads < 0) throw std::runtime_error("threads must not be negative");
  const int threads = options.threads == 0 ? cores : std::min(options.threads, 256);

  info.model_dir = options.model_dir;
  info.model_type = config.model_type;
  info.max_depth = config.max_depth;
  info.threads = threads;
  info.parameters = parameters(model);
  info.kv_bytes_per_token = static_cast<std::size_t>(config.layers) * 2 * static_cast<std::size_t>(config.kv_width()) * size_of(options.reference ? KvType::f32 : KvType::f16);
  info.context = static_cast<std::size_t>(config.max_positions);
  info.vocabulary = static_cast<std::size_t>(config.vocab_size);
  engine->device_ = open_device(options, model, info);
  info.bytes_per_loop = bytes_per_loop(model);
  info.head_bytes = model.output().bytes();

  engine->stop_tokens_ = config.eos_ids;
  if (model.tokenizer) {
    const Tokenizer& tokenizer = *model.tokenizer;
    for (const std::string_view literal : kStops) {
      if (const auto id = tokenizer.find_special(literal)) engine->stop_tokens_.push_back(*id);
    }
    if (auto chat = ChatTemplate::load(options.model_dir)) {
      engine->chat_ = std::make_unique<const ChatTemplate>(std::move(*chat));
      const auto end = tokenizer.find_special(engine->chat_->end_mark());
      if (end && engine->chat_->answers()) engine->stop_tokens_.push_back(*end);
    }
    if (tokenizer.find_special("<|fim_prefix|>") && tokenizer.find_special("<|fim_suffix|>")) {
      engine->fim_layout_ = config.family != Family::loopd ? FimLayout::prefix_suffix_middle
                            : config.fim_joined            ? FimLayout::suffix_prefix_joined
                                                           : FimLayout::suffix_prefix_middle;
    }
  }
  return engine;
}

Engine::~Engine() = default;

bool Engine::instructs() const { return chat_ && (chat_->answers() || fim_layout_ == FimLayout::none); }

Engine::Encoded Engine::encode_chat(std::string_view system, std::string_view user) const {
  if (!chat_) throw std::runtime_error(info_.model_dir + ": has no chat template in tokenizer_config.json, so it cannot be asked");
  return {chat_->encode(tokenizer(), {{"system", std::string(system)}, {"user", std::string(user)}}), ""};
}

const Tokenizer& Engine::tokenizer() const {
  if (!model_->tokenizer) throw std::runtime_error(info_.model_dir + ": has no tokenizer.json, so text cannot be encoded");
  return *model_->tokenizer;
}

}  // namespace inference
