// The frame of a test in the habit of its language: file name, imports, and the function around what the model writes.
#pragma once

#include <string>
#include <vector>

#include "context/function.h"
#include "context/language.h"
#include "lsp/actions/actions.h"

namespace lsp {

// A file of tests: what a new one begins with, one test, and what a new one ends with.
struct TestFrame {
  std::string file;   // absolute path; empty: behind the code itself
  std::string head;   // of a new file
  std::string open;   // of one test, with its indentation; the model goes on behind it
  std::string close;
  std::string tail;   // of a new file
  std::string call;   // what the test must contain
  std::vector<std::string> openings;
};

// For `function` of the text `source` of `file`, an absolute path. `read_file` finds out which header there is.
TestFrame test_frame(context::Language language, const std::string& file, const std::string& source,
                     const context::Function& function, const ReadFile& read_file);

// "a/b/queue.py" -> "queue.py", "a/b/", "queue", ".py".
std::string file_name(const std::string& file);
std::string folder_of(const std::string& file);
std::string file_stem(const std::string& file);
std::string file_ending(const std::string& file);
// "parse_header" and "parseHeader" -> "ParseHeader".
std::string camel_case(const std::string& name);

}  // namespace lsp
