// Any tokenizer.json is either refused in one line or turns any text into tokens and back, byte for byte.
#include "inference/tokenizer.h"

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

#include "tests/fuzz/require.h"

namespace {

void round_trip(const inference::Tokenizer& tokenizer, std::string_view text) {
  for (const bool special : {true, false}) {
    const auto ids = tokenizer.encode(text, special);
    for (const auto id : ids) REQUIRE_ALWAYS(id >= 0 && static_cast<std::size_t>(id) < tokenizer.size());
    REQUIRE_ALWAYS(tokenizer.decode(ids) == text);
  }
}

}  // namespace

// Input: a tokenizer.json, a NUL byte, a text.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t nul = std::min(input.find('\0'), input.size());
  const std::string_view text = input.substr(std::min(nul + 1, input.size()));
  try {
    const auto tokenizer = inference::Tokenizer::parse(input.substr(0, nul), "fuzzed tokenizer.json");
    round_trip(tokenizer, text);
  } catch (const std::runtime_error& error) {
    const std::string_view what = error.what();
    REQUIRE_ALWAYS(!what.empty() && what.find('\n') == std::string_view::npos);
  }
  return 0;
}
