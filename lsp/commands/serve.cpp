// `loopd`: wires streams, framing and server together and runs the event loop.
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>

#include <sys/types.h>

#include "lsp/commands/commands.h"
#include "lsp/commands/open_model.h"
#include "lsp/framing.h"
#include "lsp/log.h"
#include "lsp/remote_engine.h"
#include "lsp/rendezvous.h"
#include "lsp/server.h"
#include "lsp/streams.h"

namespace lsp {
namespace {

// Off by flag or, for whoever cannot set the editor's command line, by environment.
bool shares_engine(const Options& options) {
  const char* standalone = std::getenv("LOOPD_STANDALONE");
  return !options.standalone && !(standalone && *standalone && std::strcmp(standalone, "0") != 0);
}

// The engine that all editors of this user share, else one in this process.
LoadedModel load_model(const Options& options, const Settings& settings, std::stop_token stop) {
  const auto own = [options, settings] { return with_sessions(open_engine(options, settings)); };
  if (!shares_engine(options)) return own();
  try {
    const inference::EngineOptions wanted = engine_options(options, settings);
    const Rendezvous place = rendezvous_for(wanted, options.idle.value_or(default_idle_seconds));
    return share_engine({place.identity, [place] { return place.connect(); }, own, wanted.model_dir}, std::move(stop));
  } catch (const CannotShare& error) {
    log_line(std::string("the engine is not shared with other editors: ") + error.what());
    return own();
  }
}

Connection connect(const Options& options) {
  if (!options.pipe.empty()) return pipe_connection(options.pipe);
  if (options.socket) return socket_connection(*options.socket);
  return stdio_connection();
}

// Looks now and then whether the editor still lives, for editors that die without closing their end.
void watch(EventLoop& loop, std::int64_t process) {
  loop.after(std::chrono::seconds(3), [&loop, process] {
    if (kill(static_cast<pid_t>(process), 0) != 0 && errno == ESRCH) {
      log_line("the client, process " + std::to_string(process) + ", is gone");
      loop.stop();
    } else {
      watch(loop, process);
    }
  });
}

}  // namespace

int serve(const Options& options, const Settings& settings) {
  EventLoop loop;
  Framer framer;
  std::optional<Stream> stream;

  ServerHooks hooks;
  hooks.send = [&](std::string message) { stream->send(frame(message)); };
  hooks.post = [&](std::function<void()> task) { loop.post(std::move(task)); };
  hooks.after = [&](std::chrono::milliseconds delay, std::function<void()> task) { loop.after(delay, std::move(task)); };
  hooks.log = log_line;
  hooks.watch_process = [&](std::int64_t process) { watch(loop, process); };
  std::stop_source ending;
  Server server(hooks, settings, [options, stop = ending.get_token()](const Settings& current) {
    return load_model(options, current, stop);
  });

  const auto receive = [&](std::string_view bytes) {
    framer.feed(bytes);
    while (const auto message = framer.next()) {
      if (!message->ok) {
        server.malformed(message->text);
      } else if (!server.receive(message->text)) {
        framer.reject_last();
      }
      if (server.exited()) return loop.stop();
    }
  };
  stream.emplace(loop, connect(options), receive, [&] { loop.stop(); });
  loop.on_terminate([&] { loop.stop(); });
  if (options.client_process) watch(loop, *options.client_process);
  loop.run();
  ending.request_stop();  // a model that still loads elsewhere is not waited for
  return server.exit_code();
}

}  // namespace lsp
