// The entry point: reads the command line and the settings, runs one command, turns what went wrong into one line.
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "lsp/cli.h"
#include "lsp/commands/commands.h"
#include "lsp/log.h"
#include "lsp/settings.h"

namespace {

struct Entry {
  const char* name;
  int (*run)(const lsp::Options&, const lsp::Settings&);
};

constexpr Entry commands[] = {
    {"serve", lsp::serve},           {"complete", lsp::complete_file}, {"generate", lsp::generate_text},
    {"logits", lsp::print_logits},   {"tokenize", lsp::tokenize},      {"detokenize", lsp::detokenize},
    {"doctor", lsp::doctor},         {"eval", lsp::evaluate},         {"bench", lsp::bench},
    {"host", lsp::run_host},         {"module", lsp::make_module},
};

// Pages of keys and values come and go for hours. Left to itself, glibc stops giving them mappings of their own after the
// first that is freed, and the holes they leave grow: 47 MB in 11,000 keys behind a full cache, and none with this.
void keep_memory_whole() {
#ifdef __GLIBC__
  constexpr int mapped_from = 128 * 1024;  // bytes; pages are larger, nearly everything else is smaller
  mallopt(M_MMAP_THRESHOLD, mapped_from);
#endif
}

int run(const lsp::Options& options) {
  if (options.command == "help") {
    std::fputs(lsp::usage().c_str(), stdout);
    return 0;
  }
  if (options.command == "version") {
    std::puts("loopd " LOOPD_VERSION);
    return 0;
  }
  lsp::open_log(options.log);
  lsp::Settings settings;
  if (!options.config.empty()) {
    for (const std::string& complaint : lsp::apply_file(settings, options.config)) {
      lsp::log_line(options.config + ": " + complaint);
    }
  }
  for (const Entry& command : commands) {
    if (options.command == command.name) return command.run(options, settings);
  }
  return 2;
}

}  // namespace

int main(int count, char** values) {
  keep_memory_whole();
  try {
    return run(lsp::parse_arguments(std::vector<std::string>(values + 1, values + count)));
  } catch (const lsp::UsageError& error) {
    std::fprintf(stderr, "loopd: %s\n", error.what());
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "loopd: %s\n", error.what());
    return 1;
  }
}
