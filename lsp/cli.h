// The command line: what may be given, and what was.
#pragma once

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace lsp {

constexpr int default_idle_seconds = 60;

struct Options {
  std::string command = "serve";
  std::vector<std::string> arguments;  // what follows the command and is no flag

  // Common to all commands.
  std::string model;
  std::string device;
  std::string config;
  std::string log;
  std::optional<int> threads;
  bool json = false;
  bool reference = false;

  // serve
  std::string pipe;
  std::optional<int> socket;
  std::optional<std::int64_t> client_process;
  bool standalone = false;   // load the model in this process

  // serve and host: the engine process ends when nobody has used it for so long
  std::optional<int> idle;

  // complete, generate, logits, eval
  std::optional<int> depth;
  bool explain = false;
  std::vector<int> ids;
  bool all = false;
  std::vector<int> depths;
  std::string synthetic;            // bench: a shape in place of a model
  std::vector<int> batches;         // bench: rows a step
  std::vector<int> contexts;        // bench: tokens before
  int clients = 1;                  // bench keystrokes: editors at once
  int debounce_ms = 0;              // bench keystrokes: between a key and its request
  std::optional<int> limit;
  std::optional<int> max_tokens;
  bool speculation = false;         // bench decode: with guessed tokens and without
  bool shown = false;
  bool no_revise = false;
  bool compare_revise = false;      // eval: with revise passes beside without
  float adaptive = 0;               // eval infill: GenerateParams::adaptive
  std::optional<int> search;        // eval infill: CompletionOptions::search_tokens; none: the setting

  // module
  std::string language;
  std::string about;
  bool yes = false;  // do not ask before writing
  bool print_prompts = false;
  bool cases = false;
};

// One line that says what is wrong with the command line; the process then ends with exit code 2.
struct UsageError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// `arguments` without the program's name. `--flag VALUE` and `--flag=VALUE` are the same. Throws UsageError. Asking for
// help or the version gives the commands "help" and "version".
Options parse_arguments(const std::vector<std::string>& arguments);

// "FILE:LINE:COLUMN", both 1-based, the column in bytes. Throws UsageError.
struct Place {
  std::string file;
  std::size_t line = 1;
  std::size_t column = 1;
};
Place parse_place(const std::string& text);

std::string usage();

}  // namespace lsp
