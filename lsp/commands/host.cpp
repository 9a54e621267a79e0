// `loopd host`: the engine process that loopd starts for itself and other editors; stdin is the socket it listens on.
#include <csignal>
#include <chrono>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>

#include <sys/socket.h>
#include <unistd.h>

#include "lsp/commands/commands.h"
#include "lsp/commands/open_model.h"
#include "lsp/host.h"
#include "lsp/log.h"
#include "lsp/rendezvous.h"

namespace lsp {
namespace {

bool is_listener(int fd) {
  int listens = 0;
  socklen_t size = sizeof listens;
  return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0 && listens != 0;
}

// Leaves the editor whose loopd started this: a session of its own, none of its descriptors, no signal of its terminal,
// not the folder it works in.
void detach() {
  const pid_t child = fork();
  if (child < 0) throw std::runtime_error("the engine process cannot fork");
  if (child > 0) _exit(0);
  setsid();
  if (chdir("/") != 0) throw std::runtime_error("the engine process cannot enter /");
  close_range(STDERR_FILENO + 1, ~0u, 0);
  std::signal(SIGPIPE, SIG_IGN);
}

}  // namespace

int run_host(const Options& options, const Settings& settings) {
  constexpr int listener = STDIN_FILENO;
  if (!is_listener(listener)) throw UsageError("loopd host is started by loopd itself, with a listening socket as stdin");
  detach();
  const inference::EngineOptions wanted = engine_options(options, settings);
  const Rendezvous place = rendezvous_for(wanted, 0);

  // Clients that connect meanwhile wait in the socket's queue; a failure is for them to tell.
  std::shared_ptr<const inference::Engine> engine;
  std::string error;
  try {
    engine = inference::Engine::load(wanted);
    log_line("engine process " + std::to_string(getpid()) + ": " + describe(engine->info()));
  } catch (const std::exception& thrown) {
    error = thrown.what();
    log_line(error);
  }
  Turns turns;
  Host host(place.identity, [&] {
    if (!engine) throw std::runtime_error(error);
    return with_sessions(engine, &turns);
  });
  const std::chrono::seconds idle(engine ? options.idle.value_or(default_idle_seconds) : 1);
  host.accept_until_idle(listener, geteuid(), idle);
  place.leave(listener);
  log_line("engine process " + std::to_string(getpid()) + " ends: no client is left");
  return 0;
}

}  // namespace lsp
