// Every file is made with O_EXCL, so that not even a race lets one be overwritten.
#include "lsp/files.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace lsp {
namespace {

constexpr std::size_t largest_file = 1 << 20;

// Empty where the file was written whole.
std::string write_new_file(const std::string& file, const std::string& text) {
  const int descriptor = open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (descriptor < 0) return file + ": " + std::strerror(errno);
  std::size_t written = 0;
  while (written < text.size()) {
    const ssize_t count = write(descriptor, text.data() + written, text.size() - written);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    written += static_cast<std::size_t>(count);
  }
  const int problem = errno;
  if (close(descriptor) != 0 || written < text.size()) {
    unlink(file.c_str());
    return file + ": " + std::strerror(problem);
  }
  return "";
}

}  // namespace

std::optional<std::string> read_small_file(const std::string& file) {
  struct stat about {};
  if (stat(file.c_str(), &about) != 0 || !S_ISREG(about.st_mode)) return std::nullopt;
  if (static_cast<std::size_t>(about.st_size) > largest_file) return "";
  std::ifstream stream(file, std::ios::binary);
  std::ostringstream text;
  if (!stream || (stream.peek() != std::ifstream::traits_type::eof() && !(text << stream.rdbuf()))) return std::nullopt;
  return text.str();
}

std::vector<std::string> files_in(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (auto entry = std::filesystem::directory_iterator(folder, error); !error && entry != std::filesystem::directory_iterator();
       entry.increment(error)) {
    std::error_code unreadable;
    const std::string name = entry->path().filename().string();
    if (entry->is_regular_file(unreadable) && name[0] != '.') names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string uri_of(const std::string& path) {
  static const char* digits = "0123456789ABCDEF";
  std::string uri = "file://";
  for (const char c : path) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') ||
                       std::strchr("/-_.~", c) != nullptr;
    if (plain && c != '\0') {
      uri += c;
    } else {
      uri += '%';
      uri += digits[byte >> 4];
      uri += digits[byte & 15];
    }
  }
  return uri;
}

std::string write_new_files(const std::vector<std::pair<std::string, std::string>>& files) {
  std::vector<std::string> written;
  for (const auto& [file, text] : files) {
    std::error_code error;
    const auto folder = std::filesystem::path(file).parent_path();
    if (!folder.empty()) std::filesystem::create_directories(folder, error);
    const std::string problem = error ? folder.string() + ": " + error.message() : write_new_file(file, text);
    if (problem.empty()) {
      written.push_back(file);
      continue;
    }
    for (const std::string& undone : written) unlink(undone.c_str());
    return problem;
  }
  return "";
}

}  // namespace lsp
