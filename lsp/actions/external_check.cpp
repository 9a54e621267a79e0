// A child process under limits, its complaint read back from a pipe; whatever goes wrong counts as nothing said.
#include "lsp/actions/external_check.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <vector>

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace lsp {
namespace {

using Clock = std::chrono::steady_clock;

struct Tool {
  const char* file;  // what the copy is called
  std::vector<const char*> command;
};

const Tool* tool_of(context::Language language) {
  static const Tool python{"code.py", {"python3", "-I", "-m", "py_compile", "code.py"}};
  static const Tool node{"code.mjs", {"node", "--check", "code.mjs"}};
  static const Tool c{"code.c", {"cc", "-fsyntax-only", "-x", "c", "code.c"}};
  static const Tool cpp{"code.cpp", {"c++", "-std=c++20", "-fsyntax-only", "code.cpp"}};
  switch (language) {
    case context::Language::python: return &python;
    case context::Language::javascript: return &node;
    case context::Language::c: return &c;
    case context::Language::cpp: return &cpp;
    default: return nullptr;
  }
}

void limit(int resource, rlim_t most) {
  const rlimit value{most, most};
  setrlimit(static_cast<__rlimit_resource>(resource), &value);
}

// In the child: becomes the tool. Only functions that may be called between fork and exec.
[[noreturn]] void become(const Tool& tool, const char* folder, int output, char* const* environment) {
  if (chdir(folder) != 0) _exit(127);
  const int nothing = open("/dev/null", O_RDWR);
  if (nothing < 0 || dup2(nothing, 0) < 0 || dup2(output, 1) < 0 || dup2(output, 2) < 0) _exit(127);
  limit(RLIMIT_CPU, 10);
  limit(RLIMIT_FSIZE, 1 << 20);
  limit(RLIMIT_CORE, 0);
  setpgid(0, 0);
  std::array<char*, 8> arguments{};
  for (std::size_t i = 0; i < tool.command.size(); ++i) arguments[i] = const_cast<char*>(tool.command[i]);
  execvpe(arguments[0], arguments.data(), environment);
  _exit(127);
}

// What comes out of `pipe` until it closes; nothing where that is not before `until`.
std::string read_until(int pipe, Clock::time_point until, bool& in_time) {
  std::string text;
  std::array<char, 4096> chunk{};
  while (true) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::now()).count();
    pollfd wanted{pipe, POLLIN, 0};
    const int ready = left > 0 ? poll(&wanted, 1, static_cast<int>(left)) : 0;
    if (ready < 0 && errno == EINTR) continue;
    in_time = ready > 0;
    if (!in_time) return "";
    const ssize_t got = read(pipe, chunk.data(), chunk.size());
    if (got <= 0) return text;
    if (text.size() < (1U << 16)) text.append(chunk.data(), static_cast<std::size_t>(got));
  }
}

// The line that says what is wrong: the one with "error" in it, in any case, else the last.
std::string first_complaint(const std::string& said) {
  std::string last;
  for (std::size_t start = 0; start < said.size();) {
    const std::size_t end = std::min(said.find('\n', start), said.size());
    const std::string line = said.substr(start, end - start);
    if (line.find("rror:") != std::string::npos) return line.substr(0, 200);
    if (!line.empty()) last = line;
    start = end + 1;
  }
  return last.substr(0, 200);
}

}  // namespace

bool can_check_externally(context::Language language) { return tool_of(language) != nullptr; }

std::string external_complaint(context::Language language, const std::string& text, std::chrono::milliseconds patience) {
  const Tool* tool = tool_of(language);
  if (!tool) return "";
  std::string folder = (std::filesystem::temp_directory_path() / "loopd-check-XXXXXX").string();
  if (!mkdtemp(folder.data())) return "";
  std::ofstream(folder + "/" + tool->file, std::ios::binary) << text;
  int ends[2] = {-1, -1};
  std::string said;
  int status = 0;
  bool in_time = false;
  if (pipe2(ends, O_CLOEXEC) == 0) {
    const char* path = std::getenv("PATH");
    std::string path_entry = std::string("PATH=") + (path ? path : "/usr/bin:/bin");
    std::array<char*, 2> environment{path_entry.data(), nullptr};
    const pid_t child = fork();
    if (child == 0) become(*tool, folder.c_str(), ends[1], environment.data());
    close(ends[1]);
    if (child > 0) {
      said = read_until(ends[0], Clock::now() + patience, in_time);
      if (!in_time) {
        kill(-child, SIGKILL);
        kill(child, SIGKILL);
      }
      while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
      }
    }
    close(ends[0]);
  }
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
  const bool failed = in_time && WIFEXITED(status) && WEXITSTATUS(status) != 0 && WEXITSTATUS(status) != 127;
  return failed ? first_complaint(said) : "";
}

Complaint external_check(context::Language language, const std::string& before) {
  if (!can_check_externally(language)) return {};
  return [language, sound = external_complaint(language, before).empty()](const std::string& text, std::size_t, std::size_t) {
    return sound ? external_complaint(language, text) : std::string();
  };
}

}  // namespace lsp
