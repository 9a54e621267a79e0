// Copies weights into tiles of sixteen rows; what is computed with them does not change.
#include "inference/packed.h"

#include <sys/mman.h>

#include <cstring>
#include <stdexcept>

#include "inference/half.h"
#include "inference/safetensors.h"

namespace inference {
namespace {

constexpr std::size_t kLine = 64;      // bytes of a cache line, and of the widest vector
constexpr std::size_t kHugePage = std::size_t{2} << 20;

constexpr std::size_t round_up(std::size_t value, std::size_t unit) { return (value + unit - 1) / unit * unit; }

bool fits(const Matrix& matrix) {
  if (matrix.type != WeightType::int4 && matrix.type != WeightType::int8) return false;
  return static_cast<std::size_t>(matrix.cols) % kPackBlock == 0 && static_cast<std::size_t>(matrix.group) % kPackBlock == 0;
}

bool half_is_exact(const std::vector<float>& values) {
  for (const float value : values) {
    if (half_to_float(float_to_half(value)) != value) return false;
  }
  return true;
}

struct Sizes {
  std::size_t tiles, row_bytes, groups, weight_bytes, scale_count;
};
Sizes sizes_of(const Matrix& matrix) {
  const auto cols = static_cast<std::size_t>(matrix.cols);
  const std::size_t tiles = round_up(static_cast<std::size_t>(matrix.rows), kPackRows) / kPackRows;
  const std::size_t row_bytes = matrix.type == WeightType::int4 ? cols / 2 : cols;
  const std::size_t groups = cols / static_cast<std::size_t>(matrix.group);
  return {tiles, row_bytes, groups, tiles * kPackRows * row_bytes, tiles * groups * kPackRows};
}

// Memory of its own, in pages of 2 MB where the system gives them: a token reads it from end to end, and with small pages
// every 4 kB would cost a look-up and a new start of the hardware's prefetcher.
std::shared_ptr<std::byte> allocate(std::size_t bytes) {
  const std::size_t size = round_up(bytes, kHugePage) + kHugePage;  // room to begin on a huge page
  void* mapping = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapping == MAP_FAILED) throw std::runtime_error("no memory for " + std::to_string(bytes >> 20) + " MB of weights");
#ifdef MADV_HUGEPAGE
  madvise(mapping, size, MADV_HUGEPAGE);
#endif
  auto* const start = static_cast<std::byte*>(mapping);
  const std::shared_ptr<std::byte> owner(start, [size](std::byte* memory) { munmap(memory, size); });
  const std::size_t skip = round_up(reinterpret_cast<std::uintptr_t>(start), kHugePage) - reinterpret_cast<std::uintptr_t>(start);
  return {owner, start + skip};
}

void pack_tile(const Matrix& matrix, const Sizes& sizes, std::size_t tile, std::uint8_t* weights) {
  const bool int8 = matrix.type == WeightType::int8;
  std::uint8_t* const to = weights + tile * kPackRows * sizes.row_bytes;
  for (std::size_t row = 0; row < kPackRows; ++row) {
    const std::size_t from_row = tile * kPackRows + row;
    const bool real = from_row < static_cast<std::size_t>(matrix.rows);
    const auto* from = reinterpret_cast<const std::uint8_t*>(matrix.data) + from_row * sizes.row_bytes;
    for (std::size_t at = 0; at < sizes.row_bytes; at += 4) {
      // A zero is stored as 128 (int8) and as 8 (int4).
      std::uint32_t four = int8 ? 0 : 0x88888888u;
      if (real) std::memcpy(&four, from + at, 4);
      if (int8) four ^= 0x80808080u;
      std::memcpy(to + (at / 4 * kPackRows + row) * 4, &four, 4);
    }
  }
}

float scale_at(const Matrix& matrix, std::size_t groups, std::size_t row, std::size_t group) {
  return row < static_cast<std::size_t>(matrix.rows) ? matrix.scales[row * groups + group] : 0.0f;
}

}  // namespace

PackedWeights::PackedWeights(std::span<Matrix* const> matrices, ThreadPool& pool) {
  std::vector<Matrix*> chosen;
  std::vector<bool> halves;
  for (Matrix* matrix : matrices) {
    if (!fits(*matrix)) continue;
    chosen.push_back(matrix);
    halves.push_back(half_is_exact(matrix->scales));
    const Sizes sizes = sizes_of(*matrix);
    bytes_ += round_up(sizes.weight_bytes, kLine) + round_up(sizes.scale_count * (halves.back() ? 2 : 4), kLine);
  }
  if (chosen.empty()) return;
  memory_ = allocate(bytes_);
  std::byte* next = memory_.get();
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    Matrix& matrix = *chosen[i];
    const Sizes sizes = sizes_of(matrix);
    auto packed = std::make_unique<PackedMatrix>();
    packed->blocks_per_scale = static_cast<std::size_t>(matrix.group) / kPackBlock;
    auto* const weights = reinterpret_cast<std::uint8_t*>(next);
    packed->weights = weights;
    next += round_up(sizes.weight_bytes, kLine);
    std::byte* const scales = next;
    const bool half = halves[i];
    next += round_up(sizes.scale_count * (half ? 2 : 4), kLine);
    pool.run(sizes.tiles, 1, [&](std::size_t begin, std::size_t end) {
      for (std::size_t tile = begin; tile < end; ++tile) {
        pack_tile(matrix, sizes, tile, weights);
        for (std::size_t group = 0; group < sizes.groups; ++group) {
          for (std::size_t row = 0; row < kPackRows; ++row) {
            const float scale = scale_at(matrix, sizes.groups, tile * kPackRows + row, group);
            const std::size_t to = (tile * sizes.groups + group) * kPackRows + row;
            if (half) {
              reinterpret_cast<std::uint16_t*>(scales)[to] = float_to_half(scale);
            } else {
              reinterpret_cast<float*>(scales)[to] = scale;
            }
          }
        }
      }
    });
    packed->half_scales = half ? reinterpret_cast<const std::uint16_t*>(scales) : nullptr;
    packed->scales = half ? nullptr : reinterpret_cast<const float*>(scales);
    matrix.packed = packed.get();
    matrices_.push_back(std::move(packed));
  }
}

void pack(Model& model, ThreadPool& pool) {
  std::vector<Matrix*> matrices;
  for (Layer& layer : model.layers) {
    for (Matrix* matrix : {&layer.q, &layer.k, &layer.v, &layer.o, &layer.gate, &layer.up, &layer.down}) matrices.push_back(matrix);
  }
  // The embedding itself is only looked up, a row a token; as a tied output head it is multiplied with.
  matrices.push_back(model.config.tie_word_embeddings ? &model.embedding : &model.head);
  model.packed = std::make_shared<PackedWeights>(matrices, pool);
  if (model.files) model.files->let_go();
}

}  // namespace inference
