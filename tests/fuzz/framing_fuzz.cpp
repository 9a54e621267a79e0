// Any bytes, in any chunks, give the same messages: the framing of the transport.
#include "lsp/framing.h"

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "tests/fuzz/require.h"

namespace {

// All messages of `bytes`, arriving `chunk` bytes at a time. What is no JSON object is rejected, as the server does.
std::vector<lsp::Frame> frames_of(std::string_view bytes, std::size_t chunk) {
  lsp::Framer framer;
  std::vector<lsp::Frame> frames;
  while (!bytes.empty()) {
    framer.feed(bytes.substr(0, chunk));
    bytes.remove_prefix(std::min(chunk, bytes.size()));
    while (auto frame = framer.next()) {
      frames.push_back(*frame);
      if (frame->ok && !frame->text.starts_with('{')) framer.reject_last();
    }
  }
  return frames;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (size == 0) return 0;
  const auto whole = frames_of(bytes, size);
  const auto split = frames_of(bytes, 1 + data[0] % 7);
  REQUIRE_ALWAYS(whole.size() == split.size());
  for (std::size_t i = 0; i < whole.size(); ++i) {
    REQUIRE_ALWAYS(whole[i].ok == split[i].ok && whole[i].text == split[i].text);
    REQUIRE_ALWAYS(whole[i].text.size() <= lsp::Framer::max_body);
    REQUIRE_ALWAYS(whole[i].ok || !whole[i].text.empty());
  }
  return 0;
}
