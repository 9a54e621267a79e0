// Any bytes as a safetensors file: either an error of one line, or tensors that lie inside the file.
#include "inference/safetensors.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <stdexcept>
#include <string_view>

#include "tests/fuzz/require.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span<const std::byte> image(reinterpret_cast<const std::byte*>(data), size);
  try {
    for (const auto& [name, tensor] : inference::parse_safetensors(image, "fuzzed.safetensors")) {
      if (tensor.data.empty()) continue;
      const std::less_equal<const std::byte*> not_after;
      REQUIRE_ALWAYS(not_after(image.data(), tensor.data.data()));
      REQUIRE_ALWAYS(not_after(tensor.data.data() + tensor.data.size(), image.data() + image.size()));
    }
  } catch (const std::runtime_error& error) {
    const std::string_view what = error.what();
    REQUIRE_ALWAYS(!what.empty() && what.find('\n') == std::string_view::npos);
  }
  return 0;
}
