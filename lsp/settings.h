// The user's `loopd.*` settings: defaults, and how JSON from an editor or a file changes them.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "context/depth.h"
#include "context/language.h"

namespace lsp {

struct Settings {
  std::string model;            // folder; empty: the model that comes with loopd
  std::string device = "auto";  // auto | cpu | cuda
  int threads = 0;              // 0: one per core
  context::DepthPolicy depth;
  int max_tokens = 96;                  // of one suggestion
  std::size_t search_tokens = 24;       // where one line is wanted: spent at most on finding a likelier one; 0: none
  int deadline_ms = 1500;               // of one suggestion while typing; ten times that on an explicit request
  std::vector<std::string> languages;   // empty: all; else names such as "python", as context::name() gives them
  bool comments = false;                // complete inside comments and strings
  // Globs of files that are neither completed nor shown to the model. A later one wins over an earlier one, and one
  // that starts with "!" takes files back in. Settings add to the defaults.
  std::vector<std::string> exclude = default_exclude();
  std::size_t context_tokens = 2048;    // of the prompt
  std::size_t context_snippets = 4;     // passages of other open files; 0: none
  bool popup = false;  // also answer textDocument/completion where the client has ghost text
  bool check_actions = false;  // ask the language's own tool (py_compile, node --check, -fsyntax-only) about what actions write
  bool trace = false;  // log each suggestion with its steps

  static std::vector<std::string> default_exclude();
};

// Takes over what `json` holds, with or without an enclosing "loopd", nested or with dotted keys. Each key that is
// unknown or has a wrong value gives one line and keeps its old value; null values and a null `json` change nothing.
std::vector<std::string> apply(Settings& settings, const nlohmann::json& json);

// The same from a JSON file. Throws std::runtime_error, one line, where it cannot be read or is no JSON object.
std::vector<std::string> apply_file(Settings& settings, const std::string& path);

// Whether a file may be completed and shown to the model. `path` is relative to the workspace or absolute.
bool is_excluded(const Settings& settings, std::string_view path);
bool is_enabled(const Settings& settings, context::Language language);

// `*` and `?` stop at slashes, `**` does not. A pattern without a slash is held against the last component alone.
bool glob_matches(std::string_view pattern, std::string_view path);

}  // namespace lsp
