// JSON lines: the file first, then one event each.
#include "lsp/commands/recording.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include <nlohmann/json.hpp>

namespace lsp {
namespace {

using Json = nlohmann::json;

void read_head(const Json& json, Recording& recording) {
  json.at("path").get_to(recording.path);
  json.at("language").get_to(recording.language);
  json.at("indent").get_to(recording.indent);
  json.at("start").get_to(recording.start);
  json.at("final").get_to(recording.final);
}

RecordedEvent read_event(const Json& json) {
  RecordedEvent event;
  json.at("wait").get_to(event.wait_ms);
  json.at("at").get_to(event.reached);
  if (json.contains("jump")) {
    event.jump = json.at("jump").get<std::size_t>();
  } else {
    json.at("key").get_to(event.key);
    if (event.key.empty()) throw std::runtime_error("\"key\" is empty");
  }
  event.take = json.value("take", false);
  return event;
}

}  // namespace

Recording read_recording(const std::string& file) {
  std::ifstream stream(file, std::ios::binary);
  if (!stream) throw std::runtime_error(file + ": cannot be read");
  Recording recording;
  std::string line;
  for (std::size_t number = 1; std::getline(stream, line); ++number) {
    try {
      const Json json = Json::parse(line);
      if (number == 1) {
        read_head(json, recording);
      } else {
        recording.events.push_back(read_event(json));
      }
    } catch (const std::exception& error) {
      throw std::runtime_error(file + ":" + std::to_string(number) + ": is no recording of typing: " + error.what());
    }
  }
  if (recording.events.empty()) throw std::runtime_error(file + ": holds no key");
  return recording;
}

std::vector<std::string> recordings_at_hand() {
  namespace fs = std::filesystem;
  const fs::path folder = (fs::read_symlink("/proc/self/exe").parent_path() / "../../bench/keystrokes").lexically_normal();
  std::vector<std::string> files;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (entry.path().extension() == ".jsonl") files.push_back(entry.path().string());
  }
  if (files.empty()) throw std::runtime_error("there are no recordings in " + folder.string() + "; name some: loopd bench keystrokes FILE.jsonl");
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace lsp
