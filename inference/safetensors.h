// Reads safetensors checkpoints: memory-mapped, every header field validated before a byte of data is touched.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace inference {

struct Tensor {
  std::string dtype;                // as in the file: "F32", "F16", "BF16", "I8", "I32", "I64", ...
  std::vector<std::int64_t> shape;
  std::span<const std::byte> data;  // exactly the product of shape times the element size
  std::string file;                 // for messages
};

// "[16384, 768]".
std::string to_string(const std::vector<std::int64_t>& shape);

// Tensors of one safetensors image. Format: 8 bytes little-endian header length, a JSON object of
// name -> {dtype, shape, data_offsets}, then the data. Throws std::runtime_error naming file, tensor and fault.
std::map<std::string, Tensor> parse_safetensors(std::span<const std::byte> image, const std::string& file);

// All *.safetensors of a folder, mapped read-only for as long as the object lives.
class Safetensors {
 public:
  // Follows model.safetensors.index.json where there is one (each tensor must lie in the shard it names).
  explicit Safetensors(const std::string& dir);
  Safetensors(const Safetensors&) = delete;
  Safetensors& operator=(const Safetensors&) = delete;

  // Null where the name is unknown. Every tensor that was asked for counts as read.
  const Tensor* find(const std::string& name);
  // Names never asked for, in order.
  std::vector<std::string> unread() const;
  const std::string& dir() const { return dir_; }
  // Gives the mapped pages back to the system; whatever is read again comes back from the file.
  void let_go() const;

 private:
  std::string dir_;
  struct Mapping {
    std::shared_ptr<void> memory;  // unmaps itself
    std::size_t size;
  };
  std::vector<Mapping> mappings_;
  std::map<std::string, Tensor> tensors_;
  std::set<std::string> read_;
};

}  // namespace inference
