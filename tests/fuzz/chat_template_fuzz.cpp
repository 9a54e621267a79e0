// Any chat template is either refused in one line or rendered, in bounded time and memory.
#include "inference/template.h"

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

#include "tests/fuzz/require.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using inference::make_list;
  using inference::make_object;
  const std::string_view source(reinterpret_cast<const char*>(data), size);
  try {
    const inference::Template chat(source);
    const auto messages = make_list({make_object({{"role", {"system"}}, {"content", {"a"}}}), make_object({{"role", {"user"}}, {"content", {"b"}}})});
    const std::string out = chat.render({{"messages", messages}, {"add_generation_prompt", {true}}, {"bos_token", {"<s>"}}, {"eos_token", {"</s>"}}});
    REQUIRE_ALWAYS(out.size() <= std::size_t{4} << 20);
  } catch (const std::runtime_error& error) {
    const std::string_view what = error.what();
    REQUIRE_ALWAYS(!what.empty() && what.find('\n') == std::string_view::npos);
  }
  return 0;
}
