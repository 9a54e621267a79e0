// loopd's own log: stderr or a file, never stdout, which belongs to the protocol.
#pragma once

#include <string>

#include "inference/engine.h"

namespace lsp {

// Sends the log to `path`, or to stderr where it is empty. Throws std::runtime_error where the file cannot be written.
void open_log(const std::string& path);
void log_line(const std::string& line);

// What was loaded and why it runs where it runs, as one line: model, device, depths, bytes per loop.
std::string describe(const inference::EngineInfo& info);

}  // namespace lsp
