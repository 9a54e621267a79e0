// Recorded typing: the keys that somebody pressed in a file, and how long after each other.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace lsp {

struct RecordedEvent {
  double wait_ms = 0;               // since the event before
  std::string key;                  // a character, "\n" or "\b"; empty where the cursor jumps
  std::optional<std::size_t> jump;  // to this byte
  std::size_t reached = 0;          // bytes of the final text in front of the cursor afterwards
  bool take = false;                // a suggestion that says what comes next is taken instead, from here on
};

struct Recording {
  std::string path;
  std::string language;  // LSP's languageId
  std::string indent;    // one step
  std::string start;     // the text when typing begins
  std::string final;     // and when it ends, unless a suggestion was taken
  std::vector<RecordedEvent> events;
};

// Reads what bench/keystrokes/record.py writes. Throws std::runtime_error naming file and line.
Recording read_recording(const std::string& file);

// The files of those that come with loopd, beside the build folder that this binary lies in. Throws std::runtime_error
// where there are none.
std::vector<std::string> recordings_at_hand();

}  // namespace lsp
