// The language server: what each method does. Knows no stream and no thread but the scheduler's; all of it runs on the
// event loop that calls receive().
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "inference/engine.h"
#include "lsp/completion.h"
#include "lsp/sessions.h"
#include "lsp/settings.h"

namespace lsp {

// What the server needs of the world.
struct ServerHooks {
  std::function<void(std::string message)> send;             // to the client
  std::function<void(std::function<void()> task)> post;      // runs `task` on the event loop; callable from any thread
  std::function<void(std::chrono::milliseconds, std::function<void()> task)> after;  // the same, later
  std::function<void(const std::string& line)> log;
  std::function<void(std::int64_t process)> watch_process;   // ends loopd when this process, its client, is gone
};

// A model that is ready. Its functions may be called from several threads at once.
struct LoadedModel {
  std::string model;    // its folder, or a name
  std::string device;
  std::string summary;  // the line for the log and the status: model, device, depths, bytes per loop
  ModelPort port;
  std::function<inference::GenerateResult(const Sessions::GenerateRequest&, std::stop_token)> generate;
  std::shared_ptr<void> owner;  // keeps alive what the functions refer to
};
// Called while nothing uses a model. Throws std::runtime_error, one line that says what is wrong and what to do.
using LoadModel = std::function<LoadedModel(const Settings&)>;

class Server {
 public:
  Server(ServerHooks hooks, Settings settings, LoadModel load);
  ~Server();  // stops and joins the threads that compute
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // One message of the client; false where it is not JSON.
  bool receive(std::string_view message);
  // Bytes that were no message.
  void malformed(const std::string& why);

  bool exited() const;
  int exit_code() const;

 private:
  struct State;
  std::shared_ptr<State> state_;  // tasks on their way to the event loop hold it weakly
};

}  // namespace lsp
