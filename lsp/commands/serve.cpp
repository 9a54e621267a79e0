// `loopd`: wires streams, framing and server together and runs the event loop.
#include <cerrno>
#include <csignal>
#include <memory>
#include <optional>

#include <sys/types.h>

#include "lsp/commands/commands.h"
#include "lsp/commands/open_model.h"
#include "lsp/framing.h"
#include "lsp/log.h"
#include "lsp/server.h"
#include "lsp/streams.h"

namespace lsp {
namespace {

LoadedModel load_model(const Options& options, const Settings& settings) {
  const auto engine = open_engine(options, settings);
  const auto sessions = std::make_shared<Sessions>(engine);
  LoadedModel loaded;
  loaded.model = engine->info().model_dir;
  loaded.device = engine->info().device;
  loaded.summary = describe(engine->info());
  loaded.port = sessions->port();
  loaded.generate = [sessions](const Sessions::GenerateRequest& request, std::stop_token stop) {
    return sessions->generate(request, std::move(stop));
  };
  loaded.owner = sessions;
  return loaded;
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
  Server server(hooks, settings, [options](const Settings& current) { return load_model(options, current); });

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
  return server.exit_code();
}

}  // namespace lsp
