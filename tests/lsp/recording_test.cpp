// Recordings of typing: what is read, and what is said of files that are none.
#include "lsp/commands/recording.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include <unistd.h>

namespace {

struct File {
  std::string path = (std::filesystem::temp_directory_path() / ("loopd-recording-" + std::to_string(getpid()))).string();
  explicit File(const std::string& text) { std::ofstream(path) << text; }
  ~File() { std::filesystem::remove(path); }
};

const std::string head = R"({"path": "a.c", "language": "c", "indent": "  ", "start": "", "final": "a"})";

}  // namespace

TEST_CASE("a recording") {
  const File file(head + "\n" + R"({"wait": 120, "key": "a", "take": true, "at": 1})" + "\n" + R"({"wait": 5, "jump": 0, "at": 0})" + "\n");
  const auto recording = lsp::read_recording(file.path);
  CHECK(recording.path == "a.c");
  CHECK(recording.final == "a");
  REQUIRE(recording.events.size() == 2);
  CHECK(recording.events[0].key == "a");
  CHECK(recording.events[0].take);
  CHECK_FALSE(recording.events[0].jump);
  CHECK(recording.events[0].reached == 1);
  CHECK(recording.events[1].jump == 0);
}

TEST_CASE("what is no recording is said with its line") {
  for (const auto& [text, line] : {std::pair<std::string, const char*>{"[]", ":1: "}, {head + "\n{}", ":2: "}, {head + "\n{\"wait\": 1, \"at\": 0, \"key\": \"\"}", ":2: "}, {head, ": holds no key"}}) {
    const File file(text);
    try {
      lsp::read_recording(file.path);
      FAIL_CHECK("read: " << text);
    } catch (const std::exception& error) {
      CHECK(std::string(error.what()).find(file.path + line) == 0);
      CHECK(std::string(error.what()).find('\n') == std::string::npos);
    }
  }
  CHECK_THROWS_WITH(lsp::read_recording("/nowhere"), "/nowhere: cannot be read");
}
