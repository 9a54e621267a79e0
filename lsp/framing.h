// Turns a byte stream into messages and back: the `Content-Length` framing of the Language Server Protocol.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace lsp {

struct Frame {
  bool ok = true;
  std::string text;  // the message's body, or where !ok one line on what was wrong with the bytes
};

// Collects bytes as they arrive, in chunks of any size, and gives out messages. Malformed bytes never end it: they are
// reported once, and reading goes on at the next place that looks like a header.
class Framer {
 public:
  static constexpr std::size_t max_header = 8 * 1024;
  static constexpr std::size_t max_body = 64 * 1024 * 1024;

  void feed(std::string_view bytes);
  // The next message, or the next run of malformed bytes as one error; empty until more bytes arrive.
  std::optional<Frame> next();
  // Says that the last message was not JSON, so its length was probably wrong: its bytes are searched for a header. A
  // header cannot hide in valid JSON, because a string may not hold a raw line break.
  void reject_last();

 private:
  // Where the header block ends and the length it states; an error where it is malformed.
  struct Header {
    std::size_t body = 0;
    std::size_t length = 0;
    std::string error;
  };
  std::optional<Header> read_header() const;
  bool skip_to_header();
  Frame fail(std::string why, std::size_t resume);

  std::string buffer_;
  std::size_t at_ = 0;         // first byte not yet given out
  std::size_t last_body_ = 0;  // start of the message given out last
  bool lost_ = false;          // an error was reported; skip to the next header without another
};

// The message as it goes over the wire.
std::string frame(std::string_view body);

}  // namespace lsp
