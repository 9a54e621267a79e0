// Unix sockets, a lock file and posix_spawn; nothing waits for anything but the lock.
#include "lsp/rendezvous.h"

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <spawn.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lsp/wire.h"

namespace lsp {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const std::string& what) { throw CannotShare(what + " (" + std::strerror(errno) + ")"); }

// A descriptor that is closed when its owner goes.
struct Descriptor {
  int fd = -1;
  explicit Descriptor(int given) : fd(given) {}
  ~Descriptor() {
    if (fd >= 0) close(fd);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int release() { return std::exchange(fd, -1); }
};

// The linker's hash of this binary, in hex; empty where it was linked without one.
std::string build_id() {
  std::string id;
  dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* out) {
        for (int i = 0; i < info->dlpi_phnum; ++i) {
          const auto& part = info->dlpi_phdr[i];
          if (part.p_type != PT_NOTE) continue;
          const char* at = reinterpret_cast<const char*>(info->dlpi_addr + part.p_vaddr);
          const char* end = at + part.p_memsz;
          while (at + sizeof(ElfW(Nhdr)) <= end) {
            ElfW(Nhdr) note;
            std::memcpy(&note, at, sizeof note);
            const char* name = at + sizeof note;
            const char* bytes = name + (note.n_namesz + 3) / 4 * 4;
            at = bytes + (note.n_descsz + 3) / 4 * 4;
            if (note.n_type != NT_GNU_BUILD_ID || note.n_namesz != 4 || std::memcmp(name, "GNU", 4) != 0) continue;
            for (unsigned k = 0; k < note.n_descsz; ++k) {
              char hex[3];
              std::snprintf(hex, sizeof hex, "%02x", static_cast<unsigned char>(bytes[k]));
              *static_cast<std::string*>(out) += hex;
            }
          }
        }
        return 1;  // the first object is the program itself
      },
      &id);
  return id;
}

// Size and time of last change, which tell two files of the same path apart.
std::string stamp(const fs::path& file) {
  struct stat info {};
  if (stat(file.c_str(), &info) != 0) return "?";
  return std::to_string(info.st_size) + "@" + std::to_string(info.st_mtim.tv_sec) + "." + std::to_string(info.st_mtim.tv_nsec);
}

// FNV-1a, in hex: a short name for a long identity. The greeting repeats the identity in full.
std::string short_name(const std::string& text) {
  std::uint64_t hash = 14695981039346656037u;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
  char hex[17];
  std::snprintf(hex, sizeof hex, "%016llx", static_cast<unsigned long long>(hash));
  return hex;
}

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) throw CannotShare(path + ": too long for the name of a socket");
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

int new_socket() {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) fail("no socket");
  return fd;
}

// A connection, or -1 where nobody listens.
int try_connect(const std::string& path) {
  Descriptor socket(new_socket());
  // connect() waits while the listener's queue is full, and then heeds the limit for sending.
  const timeval patience{Channel::send_patience.count(), 0};
  setsockopt(socket.fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  const sockaddr_un address = address_of(path);
  if (::connect(socket.fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    if (errno == ENOENT || errno == ECONNREFUSED) return -1;
    fail(path + ": cannot connect");
  }
  if (!peer_is_user(socket.fd, geteuid())) throw CannotShare(path + ": another user listens there");
  return socket.release();
}

int listen_at(const std::string& path) {
  Descriptor socket(new_socket());
  const sockaddr_un address = address_of(path);
  unlink(path.c_str());  // left behind by a process that was killed
  if (bind(socket.fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) fail(path + ": cannot bind");
  if (chmod(path.c_str(), 0600) != 0) fail(path + ": cannot set its mode");
  if (listen(socket.fd, 64) != 0) fail(path + ": cannot listen");
  return socket.release();
}

Descriptor lock_beside(const std::string& path) {
  const std::string name = path + ".lock";
  Descriptor file(open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (file.fd < 0) fail(name + ": cannot open");
  while (flock(file.fd, LOCK_EX) != 0) {
    if (errno != EINTR) fail(name + ": cannot lock");
  }
  return Descriptor(file.release());
}

// Runs this binary with `listener` as stdin. It forks once more and its first process ends at once, so that the engine
// process is nobody's child: it outlives the editor that happened to come first.
void spawn(const std::vector<std::string>& arguments, int listener, const std::string& log) {
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, listener, STDIN_FILENO);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, log.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600);
  pid_t child = -1;
  const int error = posix_spawn(&child, "/proc/self/exe", &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) throw CannotShare(std::string("the engine process cannot be started (") + std::strerror(error) + ")");
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (status != 0) throw CannotShare("the engine process cannot be started; " + log + " says why");
}

}  // namespace

std::string engine_identity(const inference::EngineOptions& options) {
  std::error_code error;
  const fs::path folder = fs::weakly_canonical(options.model_dir, error);
  std::string id = build_id();
  if (id.empty()) id = stamp("/proc/self/exe");
  std::string text = "loopd " LOOPD_VERSION " " + id + "\n" + folder.string() + "\n";
  std::uint64_t files = 0;  // a sum, because folders are listed in any order
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string file = entry.path().filename().string() + " " + stamp(entry.path());
    files += std::stoull(short_name(file), nullptr, 16);
  }
  text += std::to_string(files) + "\n" + options.device + "\n" + std::to_string(options.threads) + "\n";
  return text + (options.reference ? "reference" : "fast");
}

std::string runtime_folder() {
  const char* given = std::getenv("XDG_RUNTIME_DIR");
  const std::string folder = given && *given ? std::string(given) + "/loopd" : "/tmp/loopd-" + std::to_string(geteuid());
  if (mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) fail(folder + ": cannot be made");
  struct stat info {};
  if (lstat(folder.c_str(), &info) != 0) fail(folder + ": cannot be examined");
  if (!S_ISDIR(info.st_mode) || info.st_uid != geteuid() || (info.st_mode & 077) != 0) {
    throw CannotShare(folder + ": must be a folder of yours that nobody else may enter (chmod 700)");
  }
  return folder;
}

bool peer_is_user(int socket, unsigned uid) {
  ucred peer{};
  socklen_t size = sizeof peer;
  return getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == uid;
}

int Rendezvous::connect() const {
  if (const int fd = try_connect(socket); fd >= 0) return fd;
  const Descriptor lock = lock_beside(socket);
  if (const int fd = try_connect(socket); fd >= 0) return fd;
  const Descriptor listener(listen_at(socket));
  start(listener.fd);
  const int fd = try_connect(socket);
  if (fd < 0) throw CannotShare(socket + ": the engine process does not listen");
  return fd;
}

void Rendezvous::leave(int listener) const {
  const Descriptor lock = lock_beside(socket);
  // A listener that is shut refuses connections, so that whoever still answers under the name is another.
  ::shutdown(listener, SHUT_RDWR);
  if (const int other = try_connect(socket); other >= 0) {
    close(other);
  } else {
    unlink(socket.c_str());
  }
}

Rendezvous rendezvous_for(const inference::EngineOptions& options, int idle_seconds) {
  Rendezvous place;
  place.identity = engine_identity(options);
  const std::string name = runtime_folder() + "/engine-" + short_name(place.identity);
  place.socket = name + ".socket";
  std::error_code error;
  std::vector<std::string> arguments = {"loopd", "host", "--model", fs::weakly_canonical(options.model_dir, error).string(),
                                        "--device", options.device, "--idle", std::to_string(idle_seconds)};
  if (options.threads > 0) arguments.insert(arguments.end(), {"--threads", std::to_string(options.threads)});
  if (options.reference) arguments.push_back("--reference");
  place.start = [arguments, log = name + ".log"](int listener) { spawn(arguments, listener, log); };
  return place;
}

}  // namespace lsp
