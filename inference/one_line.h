// Keeps an error message on one line, whatever names the file at fault holds.
#pragma once

#include <stdexcept>
#include <string>

namespace inference {

// Control characters become '?'.
inline std::runtime_error one_line_error(std::string message) {
  for (char& c : message) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return std::runtime_error(message);
}

}  // namespace inference
