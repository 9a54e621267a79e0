// Integer weights laid out for the fast kernels: sixteen rows side by side, so that one vector holds columns of each.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "inference/model.h"
#include "inference/thread_pool.h"

namespace inference {

// Rows that lie side by side. A matrix of other heights is filled up with rows of zeros.
constexpr std::size_t kPackRows = 16;
// Columns whose products are summed as integers before a scale applies; groups must be multiples of it.
constexpr std::size_t kPackBlock = 64;

// A vector of 64 bytes holds 4 bytes of each of 16 rows, so its sums come out one row a lane and are never added across
// lanes. Everything is read front to back exactly once a token, which is what memory is fastest at.
struct PackedMatrix {
  // int4: [tiles][cols / 8][16 rows][4 bytes] as stored, that is, of 8 columns the even ones in the low nibbles.
  // int8: [tiles][cols / 4][16 rows][4 bytes], plus 128. 64-byte aligned.
  const std::uint8_t* weights = nullptr;
  // [tiles][cols / group][16 rows]; float16 where that loses nothing, which is how checkpoints store them, else float32.
  const std::uint16_t* half_scales = nullptr;
  const float* scales = nullptr;
  std::size_t blocks_per_scale = 1;
};

// The packed form of some matrices, in one piece of memory. Packing sets Matrix::packed.
class PackedWeights {
 public:
  // Matrices that the layout does not fit (floats; columns or groups that are no multiples of 64) are left as they are.
  PackedWeights(std::span<Matrix* const> matrices, ThreadPool& pool);
  PackedWeights(const PackedWeights&) = delete;
  PackedWeights& operator=(const PackedWeights&) = delete;

  std::size_t bytes() const { return bytes_; }

 private:
  std::size_t bytes_ = 0;
  std::shared_ptr<std::byte> memory_;
  std::vector<std::unique_ptr<PackedMatrix>> matrices_;
};

// Packs what the fast kernels multiply with and lets go of the file's pages that are not read again.
void pack(Model& model, ThreadPool& pool);

}  // namespace inference
