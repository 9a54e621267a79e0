// Reads all of stdin.
#pragma once

#include <string>

namespace lsp {

// Every byte up to the end of file.
std::string read_standard_input();

}  // namespace lsp
