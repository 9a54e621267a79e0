// spdlog with a plain pattern.
#include "lsp/log.h"

#include <cstdio>
#include <stdexcept>

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

namespace lsp {
namespace {

std::string megabytes(std::size_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f MB", static_cast<double>(bytes) / 1e6);
  return text;
}

}  // namespace

void open_log(const std::string& path) {
  try {
    spdlog::drop("loopd");
    const auto logger = path.empty() ? spdlog::stderr_logger_mt("loopd") : spdlog::basic_logger_mt("loopd", path);
    logger->set_pattern("%Y-%m-%d %H:%M:%S.%e loopd: %v");
    logger->flush_on(spdlog::level::info);
    spdlog::set_default_logger(logger);
  } catch (const spdlog::spdlog_ex& error) {
    throw std::runtime_error("--log " + path + ": " + error.what());
  }
}

void log_line(const std::string& line) { spdlog::default_logger_raw()->log(spdlog::level::info, "{}", line); }

std::string describe(const inference::EngineInfo& info) {
  std::string text = info.model_dir + " (" + info.model_type + ", " + std::to_string(info.parameters / 1000000) +
                     " M parameters) on " + info.device;
  if (!info.device_reason.empty()) text += " (" + info.device_reason + ")";
  text += info.max_depth > 1 ? ", loops enabled: 1.." + std::to_string(info.max_depth) : ", no loops: depth 1 only";
  text += ", " + megabytes(info.bytes_per_loop) + " per loop and token, " + std::to_string(info.context) + " tokens of context";
  if (info.device == "cpu") text += ", " + std::to_string(info.threads) + " threads";
  return text;
}

}  // namespace lsp
