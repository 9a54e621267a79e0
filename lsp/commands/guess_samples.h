// Of `loopd bench decode --speculation`: edits that repeat what the buffer holds, and openings that repeat nothing.
#pragma once

#include <string>
#include <vector>

namespace lsp {

// An edit as somebody makes it with suggestions: each line of `written` is completed once, behind its indentation, with the
// lines before it as they really are, whatever was suggested for them. Empty: one answer at the end of `prefix`.
struct GuessSample {
  const char* path;
  std::string prefix;
  std::string written;
  std::string suffix;
};

// A block that stands in the buffer already, written again under another name: a class, a handler, a route, a function with
// every name of it changed, and the rows of a second table.
std::vector<GuessSample> repeating_edits();
// First lines of common functions in an otherwise empty file.
std::vector<GuessSample> other_openings();

}  // namespace lsp
