// Damaged safetensors images: every one is refused with a line that names the file, the tensor and the fault.
#include "inference/safetensors.h"

#include <doctest/doctest.h>

#include <cstring>
#include <stdexcept>

using namespace inference;

namespace {

std::string image(const std::string& header, const std::string& data) {
  const std::uint64_t size = header.size();
  std::string bytes(sizeof size, '\0');
  std::memcpy(bytes.data(), &size, sizeof size);
  return bytes + header + data;
}

std::string error_of(const std::string& bytes) {
  try {
    parse_safetensors(std::as_bytes(std::span(bytes)), "m.safetensors");
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("a sound image gives its tensors") {
  const std::string bytes = image(R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},"s":{"dtype":"I8","shape":[],"data_offsets":[8,9]}})", "12345678x");
  const auto tensors = parse_safetensors(std::as_bytes(std::span(bytes)), "m");
  REQUIRE(tensors.size() == 2);
  CHECK(tensors.at("a").shape == std::vector<std::int64_t>{2, 1});
  CHECK(tensors.at("a").data.size() == 8);
  CHECK(static_cast<char>(tensors.at("s").data[0]) == 'x');
}

TEST_CASE("a damaged image is refused in one line that names file, tensor and fault") {
  struct Case {
    std::string bytes, expected;
  };
  const auto entry = [](const std::string& body) { return image("{\"a\":{" + body + "}}", "12345678"); };
  const Case cases[] = {
      {"1234", "m.safetensors: too short"},
      {image("{}", "").substr(0, 9), "header length 2 exceeds the file"},
      {std::string(8, '\xff'), "exceeds the file"},
      {image("[1]", ""), "not a JSON object"},
      {image("{\"a\"", ""), "not a JSON object"},
      {image("{\"a\":1}", ""), "tensor a: key \"dtype\" is missing"},
      {entry(R"("dtype":"F32","shape":[2],"data_offsets":[0,9])"), "lie outside the 8 data bytes"},
      {entry(R"("dtype":"F32","shape":[2],"data_offsets":[8,0])"), "tensor a: data_offsets [8, 0]"},
      {entry(R"("dtype":"F32","shape":[3],"data_offsets":[0,8])"), "shape [3] F32 needs 12 bytes, data_offsets give 8"},
      {entry(R"("dtype":"F77","shape":[2],"data_offsets":[0,8])"), "unknown dtype \"F77\""},
      {entry(R"("dtype":"F32","shape":[-2],"data_offsets":[0,8])"), "impossible shape [-2]"},
      {entry(R"("dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,8])"), "impossible shape"},
      {entry(R"("dtype":"F32","shape":"x","data_offsets":[0,8])"), "shape is not an array"},
      {entry(R"("dtype":"F32","shape":[2],"data_offsets":[-1,8])"), "must be two non-negative integers"},
  };
  for (const Case& c : cases) {
    const std::string error = error_of(c.bytes);
    CAPTURE(error);
    CHECK(error.find(c.expected) != std::string::npos);
    CHECK(error.find('\n') == std::string::npos);
  }
}
