// How loopd processes find each other: whose folder, whose socket, and that of many who come at once one starts.
#include "lsp/rendezvous.h"

#include <doctest/doctest.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <latch>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace lsp;
namespace fs = std::filesystem;

namespace {

struct Folder {
  std::string path;
  Folder() {
    char name[] = "/tmp/loopd-test-XXXXXX";
    REQUIRE(mkdtemp(name));
    path = name;
  }
  ~Folder() { fs::remove_all(path); }
};

// Sets $XDG_RUNTIME_DIR for as long as it lives.
struct Runtime {
  const char* const before = std::getenv("XDG_RUNTIME_DIR");
  const std::string old = before ? before : "";
  explicit Runtime(const std::string& path) { setenv("XDG_RUNTIME_DIR", path.c_str(), 1); }
  ~Runtime() {
    if (before) {
      setenv("XDG_RUNTIME_DIR", old.c_str(), 1);
    } else {
      unsetenv("XDG_RUNTIME_DIR");
    }
  }
};

// A rendezvous whose "process" is a copy of the listener, kept here until it dies.
struct Place {
  Folder folder;
  std::mutex mutex;
  std::vector<int> listeners;
  Rendezvous rendezvous;

  Place() {
    rendezvous.socket = folder.path + "/engine.socket";
    rendezvous.start = [this](int listener) {
      const std::lock_guard lock(mutex);
      listeners.push_back(dup(listener));
    };
  }
  ~Place() { die(); }
  void die() {
    for (const int fd : listeners) close(fd);
    listeners.clear();
  }
};

}  // namespace

TEST_CASE("the runtime folder is the user's own and closed to others") {
  Folder folder;
  const Runtime runtime(folder.path);
  const std::string made = runtime_folder();
  CHECK(made == folder.path + "/loopd");
  struct stat info {};
  REQUIRE(stat(made.c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0700);
  CHECK(runtime_folder() == made);
  for (const mode_t open : {0750u, 0701u, 0777u}) {
    REQUIRE(chmod(made.c_str(), open) == 0);
    CHECK_THROWS_AS(runtime_folder(), CannotShare);
  }
  fs::remove(made);
  Folder elsewhere;
  fs::create_symlink(elsewhere.path, made);
  CHECK_THROWS_AS(runtime_folder(), CannotShare);
  fs::remove(made);
  std::ofstream(made) << "a file";
  CHECK_THROWS_AS(runtime_folder(), CannotShare);
  const Runtime missing(folder.path + "/missing");
  CHECK_THROWS_AS(runtime_folder(), CannotShare);
}

TEST_CASE("another user's folder is not used") {
  if (geteuid() != 0) return;  // only root can give a folder away
  Folder folder;
  const Runtime runtime(folder.path);
  REQUIRE(chown(runtime_folder().c_str(), 65534, 65534) == 0);
  CHECK_THROWS_AS(runtime_folder(), CannotShare);
}

TEST_CASE("the first starts the engine process, later ones find it") {
  Place place;
  const int first = place.rendezvous.connect();
  const int second = place.rendezvous.connect();
  CHECK(place.listeners.size() == 1);
  CHECK(peer_is_user(first, geteuid()));
  CHECK_FALSE(peer_is_user(first, geteuid() + 1));
  struct stat info {};
  REQUIRE(stat(place.rendezvous.socket.c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);
  close(first);
  close(second);
}

TEST_CASE("a socket that a killed process left behind is replaced") {
  Place place;
  close(place.rendezvous.connect());
  place.die();
  REQUIRE(fs::exists(place.rendezvous.socket));
  close(place.rendezvous.connect());
  CHECK(place.listeners.size() == 1);
  place.die();
  fs::remove(place.rendezvous.socket);
  std::ofstream(place.rendezvous.socket) << "no socket at all";
  close(place.rendezvous.connect());
  CHECK(place.listeners.size() == 1);
}

TEST_CASE("of many who come at once one starts") {
  Place place;
  constexpr int count = 8;
  std::latch together(count);
  std::atomic<int> connected = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < count; ++i) {
      threads.emplace_back([&] {
        together.arrive_and_wait();
        const int fd = place.rendezvous.connect();
        if (fd >= 0) ++connected;
        close(fd);
      });
    }
  }
  CHECK(connected == count);
  CHECK(place.listeners.size() == 1);
}

TEST_CASE("a process that cannot be started is said") {
  Place place;
  place.rendezvous.start = [](int) {};  // keeps no copy: nobody will answer
  CHECK_NOTHROW(close(place.rendezvous.connect()));  // it may have ended since: the connection will tell
  place.rendezvous.start = [](int) { throw CannotShare("no memory"); };
  CHECK_THROWS_AS(place.rendezvous.connect(), CannotShare);
  place.rendezvous.socket = place.folder.path + "/" + std::string(200, 'x');
  CHECK_THROWS_AS(place.rendezvous.connect(), CannotShare);
}

TEST_CASE("who leaves takes the name along, unless it is another's") {
  Place place;
  close(place.rendezvous.connect());
  place.rendezvous.leave(place.listeners[0]);
  CHECK_FALSE(fs::exists(place.rendezvous.socket));
  close(place.rendezvous.connect());
  REQUIRE(place.listeners.size() == 2);
  place.rendezvous.leave(place.listeners[0]);
  CHECK(fs::exists(place.rendezvous.socket));
}

TEST_CASE("engines that differ in anything have different identities") {
  Folder folder;
  std::ofstream(folder.path + "/config.json") << "{}";
  inference::EngineOptions options;
  options.model_dir = folder.path;
  const std::string same = engine_identity(options);
  CHECK(engine_identity(options) == same);
  CHECK(same.find(LOOPD_VERSION) != std::string::npos);
  inference::EngineOptions spelled = options;
  spelled.model_dir = folder.path + "/../" + fs::path(folder.path).filename().string();
  CHECK(engine_identity(spelled) == same);
  auto other = options;
  other.device = "cpu";
  CHECK(engine_identity(other) != same);
  other = options;
  other.threads = 3;
  CHECK(engine_identity(other) != same);
  other = options;
  other.reference = true;
  CHECK(engine_identity(other) != same);
  std::ofstream(folder.path + "/config.json") << "{ }";
  CHECK(engine_identity(options) != same);
}
