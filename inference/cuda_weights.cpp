// Uploads weights once, one matrix at a time: raw bytes to a staging buffer, from there into the kernels' own order.
#include "inference/cuda_weights.h"

#include <algorithm>
#include <initializer_list>
#include <stdexcept>

namespace inference {
namespace {

cuda::Type type_of(const Matrix& matrix) {
  switch (matrix.type) {
    case WeightType::f32: return cuda::Type::f32;
    case WeightType::f16: return cuda::Type::f16;
    case WeightType::bf16: return cuda::Type::bf16;
    case WeightType::int8: return cuda::Type::int8;
    case WeightType::int4: return cuda::Type::int4;
  }
  return cuda::Type::f32;
}

// Matrices that lie in one on the device, with their row order.
struct Part {
  const Matrix* matrix;
  cuda::RowOrder order = cuda::RowOrder::plain;
};

cuda::Matrix layout(const cuda::Api& api, std::initializer_list<Part> parts) {
  const Matrix& first = *parts.begin()->matrix;
  int rows = 0;
  for (const Part& part : parts) {
    if (part.matrix->type != first.type || part.matrix->group != first.group) {
      throw std::runtime_error("CUDA: query, key and value projections, or gate and up, are stored in different types; use --device cpu");
    }
    rows += part.matrix->rows;
  }
  return api.layout(type_of(first), rows, first.cols, first.group, false);
}

// Calls `use` for every fused matrix of a model and the place of it in `weights`.
template <class Use>
void each_matrix(const Model& model, CudaWeights& weights, Use use) {
  using cuda::RowOrder;
  weights.layers.resize(model.layers.size());
  use(weights.embedding, {Part{&model.embedding}});
  if (!model.config.tie_word_embeddings) use(weights.head, {Part{&model.head}});
  for (std::size_t i = 0; i < model.layers.size(); ++i) {
    const Layer& layer = model.layers[i];
    CudaLayer& placed = weights.layers[i];
    use(placed.qkv, {Part{&layer.q}, Part{&layer.k}, Part{&layer.v}});
    use(placed.o, {Part{&layer.o}});
    use(placed.gate_up, {Part{&layer.gate, RowOrder::gate}, Part{&layer.up, RowOrder::up}});
    use(placed.down, {Part{&layer.down}});
  }
}

// What one staging buffer must hold: the bytes of a matrix as stored, then its scales.
std::size_t stored_bytes(const Matrix& matrix) {
  const std::size_t count = static_cast<std::size_t>(matrix.rows) * static_cast<std::size_t>(matrix.cols);
  switch (matrix.type) {
    case WeightType::f32: return count * 4;
    case WeightType::f16:
    case WeightType::bf16: return count * 2;
    case WeightType::int8: return count;
    case WeightType::int4: return count / 2;
  }
  return 0;
}

std::size_t scale_offset(const Matrix& matrix) { return (stored_bytes(matrix) + 255) / 256 * 256; }

class Uploader {
 public:
  Uploader(const cuda::Api& api, cuda::Stream stream, std::size_t staging) : api_(api), stream_(stream), memory_(api) {
    if (staging > 0) staging_ = memory_.device<std::byte>(staging);
  }

  void pack(const cuda::Matrix& out, int first_row, cuda::RowOrder order, const Matrix& matrix) {
    cuda::RawMatrix raw;
    raw.type = type_of(matrix);
    raw.rows = matrix.rows;
    raw.cols = matrix.cols;
    raw.group = matrix.group;
    raw.data = staging_;
    copy(staging_, matrix.data, stored_bytes(matrix));
    if (!matrix.scales.empty()) {
      std::byte* scales = staging_ + scale_offset(matrix);
      copy(scales, matrix.scales.data(), matrix.scales.size() * sizeof(float));
      raw.scales = reinterpret_cast<const float*>(scales);
    }
    api_.pack(stream_, out, first_row, order, raw);
    if (!api_.sync(stream_)) throw_cuda(api_, "packing weights");
  }

 private:
  void copy(void* to, const void* from, std::size_t bytes) {
    if (!api_.upload(stream_, to, from, bytes)) throw_cuda(api_, "uploading weights");
  }

  const cuda::Api& api_;
  cuda::Stream stream_;
  CudaMemory memory_;
  std::byte* staging_ = nullptr;
};

std::vector<float> joined(std::initializer_list<const std::vector<float>*> parts) {
  std::vector<float> all;
  for (const auto* part : parts) all.insert(all.end(), part->begin(), part->end());
  return all;
}

}  // namespace

CudaWeights cuda_weight_shapes(const cuda::Api& api, const Model& model) {
  CudaWeights weights;
  each_matrix(model, weights, [&](cuda::Matrix& out, std::initializer_list<Part> parts) { out = layout(api, parts); });
  if (model.config.tie_word_embeddings) weights.head = weights.embedding;
  return weights;
}

std::size_t cuda_weight_bytes(const cuda::Api& api, const Model& model) {
  const ModelConfig& config = model.config;
  CudaWeights weights;
  std::size_t bytes = 0, staging = 0;
  each_matrix(model, weights, [&](cuda::Matrix&, std::initializer_list<Part> parts) {
    bytes += layout(api, parts).bytes;
    for (const Part& part : parts) staging = std::max(staging, part.matrix->data ? scale_offset(*part.matrix) + part.matrix->scales.size() * 4 : 0);
  });
  std::size_t floats = static_cast<std::size_t>(config.max_positions) * static_cast<std::size_t>(config.head_dim);
  for (const LoopGains* gains : {&model.norm, &model.loop_input_norm, &model.loop_state_norm, &model.loop_carry}) floats += gains->values.size();
  for (const Layer& layer : model.layers) {
    for (const LoopGains* gains : {&layer.input_norm, &layer.attention_norm, &layer.q_gain, &layer.k_gain, &layer.loop_gate_weight, &layer.loop_gate_bias}) floats += gains->values.size();
    floats += layer.q_bias.size() + layer.k_bias.size() + layer.v_bias.size();
  }
  return bytes + staging + floats * sizeof(float);
}

CudaWeights upload_weights(const cuda::Api& api, cuda::Stream stream, CudaMemory& memory, const Model& model) {
  const ModelConfig& config = model.config;
  CudaWeights weights;
  std::size_t staging = 0;
  each_matrix(model, weights, [&](cuda::Matrix&, std::initializer_list<Part> parts) {
    for (const Part& part : parts) staging = std::max(staging, part.matrix->data ? scale_offset(*part.matrix) + part.matrix->scales.size() * 4 : 0);
  });
  Uploader uploader(api, stream, staging);
  std::uint64_t seed = 1;
  each_matrix(model, weights, [&](cuda::Matrix& out, std::initializer_list<Part> parts) {
    out = layout(api, parts);
    out.data = memory.device<std::byte>(out.bytes);
    if (!parts.begin()->matrix->data) {
      api.random_matrix(stream, out, seed++);
      return;
    }
    api.pack_padding(stream, out);
    int first_row = 0;
    for (const Part& part : parts) {
      uploader.pack(out, part.order == cuda::RowOrder::plain ? first_row : 0, part.order, *part.matrix);
      first_row += part.matrix->rows;
    }
  });
  if (config.tie_word_embeddings) weights.head = weights.embedding;

  const auto gains = [&](const LoopGains& host) {
    cuda::Gain gain;
    gain.data = memory.device(stream, host.values);
    gain.loops = static_cast<int>(host.rows);
    gain.stride = host.rows > 1 ? static_cast<int>(host.width()) : 0;
    return gain;
  };
  weights.norm = gains(model.norm);
  weights.loop_input_norm = gains(model.loop_input_norm);
  weights.loop_state_norm = gains(model.loop_state_norm);
  weights.loop_carry = gains(model.loop_carry);
  for (std::size_t i = 0; i < model.layers.size(); ++i) {
    const Layer& layer = model.layers[i];
    CudaLayer& placed = weights.layers[i];
    placed.input_norm = gains(layer.input_norm);
    placed.attention_norm = gains(layer.attention_norm);
    placed.qkv_bias = memory.device(stream, joined({&layer.q_bias, &layer.k_bias, &layer.v_bias}));
    placed.q_gain = gains(layer.q_gain);
    placed.k_gain = gains(layer.k_gain);
    placed.loop_gate_weight = gains(layer.loop_gate_weight);
    placed.loop_gate_bias = gains(layer.loop_gate_bias);
  }
  const auto positions = static_cast<std::size_t>(config.max_positions);
  weights.rope = memory.device<float>(positions * static_cast<std::size_t>(config.head_dim));
  api.rope_table(stream, weights.rope, config.max_positions, config.head_dim, config.rope_theta);
  if (!api.sync(stream)) throw_cuda(api, "uploading weights");
  return weights;
}

}  // namespace inference
