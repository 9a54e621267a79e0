// Maps and validates safetensors files.
#include "inference/safetensors.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "inference/one_line.h"

namespace inference {
namespace {

using Json = nlohmann::json;

[[noreturn]] void fail(const std::string& file, const std::string& what) { throw one_line_error(file + ": " + what); }

std::size_t element_size(const std::string& dtype) {
  static const std::map<std::string, std::size_t> sizes = {
      {"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"F8_E4M3", 1}, {"F8_E5M2", 1}, {"I16", 2}, {"U16", 2}, {"F16", 2},
      {"BF16", 2}, {"I32", 4}, {"U32", 4}, {"F32", 4},     {"I64", 8},     {"U64", 8}, {"F64", 8}};
  const auto found = sizes.find(dtype);
  return found == sizes.end() ? 0 : found->second;
}

// Product of the shape times the element size; fails on negative sizes and on overflow.
std::size_t byte_size(const Tensor& tensor, const std::string& file, const std::string& name) {
  std::size_t size = element_size(tensor.dtype);
  if (size == 0) fail(file, "tensor " + name + ": unknown dtype \"" + tensor.dtype + "\"");
  for (const std::int64_t extent : tensor.shape) {
    if (extent < 0 || __builtin_mul_overflow(size, static_cast<std::size_t>(extent), &size)) {
      fail(file, "tensor " + name + ": impossible shape " + to_string(tensor.shape));
    }
  }
  return size;
}

Tensor parse_entry(const std::string& name, const Json& entry, std::span<const std::byte> data, const std::string& file) {
  const auto key = [&](const char* wanted) -> const Json& {
    if (!entry.is_object() || !entry.contains(wanted)) fail(file, "tensor " + name + ": key \"" + wanted + "\" is missing");
    return entry.at(wanted);
  };
  Tensor tensor;
  tensor.file = file;
  if (!key("dtype").is_string()) fail(file, "tensor " + name + ": dtype is not a string");
  tensor.dtype = key("dtype").get<std::string>();
  if (!key("shape").is_array()) fail(file, "tensor " + name + ": shape is not an array");
  for (const Json& extent : key("shape")) {
    if (!extent.is_number_integer()) fail(file, "tensor " + name + ": shape holds something that is no integer");
    tensor.shape.push_back(extent.get<std::int64_t>());
  }
  const Json& offsets = key("data_offsets");
  if (!offsets.is_array() || offsets.size() != 2 || !offsets[0].is_number_unsigned() || !offsets[1].is_number_unsigned()) {
    fail(file, "tensor " + name + ": data_offsets must be two non-negative integers");
  }
  const auto begin = offsets[0].get<std::size_t>();
  const auto end = offsets[1].get<std::size_t>();
  if (begin > end || end > data.size()) {
    fail(file, "tensor " + name + ": data_offsets [" + std::to_string(begin) + ", " + std::to_string(end) +
                   "] lie outside the " + std::to_string(data.size()) + " data bytes; the file may be cut off");
  }
  const std::size_t expected = byte_size(tensor, file, name);
  if (end - begin != expected) {
    fail(file, "tensor " + name + ": shape " + to_string(tensor.shape) + " " + tensor.dtype + " needs " +
                   std::to_string(expected) + " bytes, data_offsets give " + std::to_string(end - begin));
  }
  tensor.data = data.subspan(begin, end - begin);
  return tensor;
}

// Shards named by the index, or every *.safetensors of the folder.
std::vector<std::string> shard_names(const std::string& dir) {
  std::set<std::string> names;
  const std::string index_file = dir + "/model.safetensors.index.json";
  if (std::ifstream stream(index_file); stream) {
    const Json index = Json::parse(stream, nullptr, false);
    if (index.is_discarded() || !index.is_object() || !index.contains("weight_map") || !index["weight_map"].is_object()) {
      fail(index_file, "expected a JSON object with a \"weight_map\"");
    }
    for (const auto& [tensor, shard] : index["weight_map"].items()) {
      if (!shard.is_string() || shard.get<std::string>().find('/') != std::string::npos) {
        fail(index_file, "tensor " + tensor + ": expected the name of a file in this folder");
      }
      names.insert(shard.get<std::string>());
    }
  } else {
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(dir, error)) {
      if (entry.path().extension() == ".safetensors") names.insert(entry.path().filename().string());
    }
    if (error) fail(dir, "cannot read the model folder: " + error.message());
  }
  if (names.empty()) fail(dir, "no *.safetensors file here; pass a Hugging Face model folder with --model");
  return {names.begin(), names.end()};
}

}  // namespace

std::string to_string(const std::vector<std::int64_t>& shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

std::map<std::string, Tensor> parse_safetensors(std::span<const std::byte> image, const std::string& file) {
  // The reference implementation refuses headers over 100 MB, and so does this one.
  constexpr std::uint64_t kHeaderLimit = 100'000'000;
  std::uint64_t header_size = 0;
  if (image.size() < sizeof header_size) fail(file, "too short to be a safetensors file (" + std::to_string(image.size()) + " bytes)");
  std::memcpy(&header_size, image.data(), sizeof header_size);
  if (header_size > kHeaderLimit || header_size > image.size() - sizeof header_size) {
    fail(file, "header length " + std::to_string(header_size) + " exceeds the file; it is cut off or not safetensors");
  }
  const auto* begin = reinterpret_cast<const char*>(image.data()) + sizeof header_size;
  const Json header = Json::parse(begin, begin + header_size, nullptr, false);
  if (header.is_discarded() || !header.is_object()) fail(file, "the header is not a JSON object");
  const auto data = image.subspan(sizeof header_size + header_size);
  std::map<std::string, Tensor> tensors;
  for (const auto& [name, entry] : header.items()) {
    if (name != "__metadata__") tensors.emplace(name, parse_entry(name, entry, data, file));
  }
  return tensors;
}

Safetensors::Safetensors(const std::string& dir) : dir_(dir) {
  for (const std::string& shard : shard_names(dir)) {
    const std::string file = dir + "/" + shard;
    const int descriptor = open(file.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) fail(file, std::string("cannot open: ") + std::strerror(errno));
    struct stat status {};
    if (fstat(descriptor, &status) != 0 || status.st_size <= 0) {
      close(descriptor);
      fail(file, "cannot be read, or is empty");
    }
    const auto size = static_cast<std::size_t>(status.st_size);
    void* address = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor, 0);
    close(descriptor);
    if (address == MAP_FAILED) fail(file, std::string("cannot map: ") + std::strerror(errno));
    mappings_.push_back({std::shared_ptr<void>(address, [size](void* mapped) { munmap(mapped, size); }), size});
    for (auto& [name, tensor] : parse_safetensors({static_cast<const std::byte*>(address), size}, file)) {
      if (!tensors_.emplace(name, std::move(tensor)).second) fail(file, "tensor " + name + " also lies in another shard");
    }
  }
}

const Tensor* Safetensors::find(const std::string& name) {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) return nullptr;
  read_.insert(name);
  return &found->second;
}

void Safetensors::let_go() const {
  // A private mapping nobody writes to: dropped pages are read from the file again, so this cannot lose anything.
  for (const Mapping& mapping : mappings_) madvise(mapping.memory.get(), mapping.size, MADV_DONTNEED);
}

std::vector<std::string> Safetensors::unread() const {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : tensors_) {
    if (!read_.contains(name)) names.push_back(name);
  }
  return names;
}

}  // namespace inference
