// Loads a model and describes it; nothing here changes after load.
#include "inference/engine.h"

#include <algorithm>
#include <stdexcept>
#include <thread>

#include "inference/cpu_device.h"

namespace inference {
namespace {

// What ends a completion, beside the ids that config.json names: ends of text and of middle, and the start of anything
// that the model writes after a middle it has finished.
constexpr std::string_view kStops[] = {"<|endoftext|>", "<|fim_end|>",    "<|fim_pad|>",   "<|im_end|>",     "<|file_sep|>",
                                       "<|repo_name|>", "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"};

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

// Decides on the device and says why. The CPU is what this build has.
std::string choose_device(const std::string& wanted, std::string& reason) {
  if (wanted == "cpu") {
    reason = "asked for";
  } else if (wanted == "auto") {
    reason = "this build has no CUDA plug-in";
  } else if (wanted == "cuda") {
    throw std::runtime_error("device cuda: this build has no CUDA plug-in; use --device cpu or --device auto");
  } else {
    throw std::runtime_error("device \"" + wanted + "\" is unknown; expected auto, cpu or cuda");
  }
  return "cpu";
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
  info.device = choose_device(options.device, info.device_reason);
  engine->model_ = load_model(options.model_dir, options.need_tokenizer);
  const Model& model = *engine->model_;
  const ModelConfig& config = model.config;

  const int cores = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  if (options.threads < 0) throw std::runtime_error("threads must not be negative");
  const int threads = options.threads == 0 ? cores : std::min(options.threads, 256);
  engine->device_ = std::make_unique<CpuDevice>(model, options.reference ? reference_ops() : fast_ops(), threads);

  info.model_dir = options.model_dir;
  info.model_type = config.model_type;
  info.kernels = options.reference ? "reference" : fast_ops_target();
  info.max_depth = config.max_depth;
  info.threads = threads;
  info.parameters = parameters(model);
  info.bytes_per_loop = bytes_per_loop(model);
  info.head_bytes = model.output().bytes();
  info.kv_bytes_per_token = static_cast<std::size_t>(config.layers) * 2 * static_cast<std::size_t>(config.kv_width()) * sizeof(float);
  info.context = static_cast<std::size_t>(config.max_positions);
  info.vocabulary = static_cast<std::size_t>(config.vocab_size);

  engine->stop_tokens_ = config.eos_ids;
  if (model.tokenizer) {
    const Tokenizer& tokenizer = *model.tokenizer;
    for (const std::string_view literal : kStops) {
      if (const auto id = tokenizer.find_special(literal)) engine->stop_tokens_.push_back(*id);
    }
    if (tokenizer.find_special("<|fim_prefix|>") && tokenizer.find_special("<|fim_suffix|>")) {
      engine->fim_layout_ = config.family == Family::loopd ? FimLayout::suffix_prefix_joined : FimLayout::prefix_suffix_middle;
    }
  }
  return engine;
}

Engine::~Engine() = default;

const Tokenizer& Engine::tokenizer() const {
  if (!model_->tokenizer) throw std::runtime_error(info_.model_dir + ": has no tokenizer.json, so text cannot be encoded");
  return *model_->tokenizer;
}

}  // namespace inference
