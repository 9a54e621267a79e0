// Plain fread, so that no byte is changed.
#include "lsp/commands/standard_input.h"

#include <cstdio>

namespace lsp {

std::string read_standard_input() {
  std::string text;
  char chunk[64 * 1024];
  while (const std::size_t got = std::fread(chunk, 1, sizeof chunk, stdin)) text.append(chunk, got);
  return text;
}

}  // namespace lsp
