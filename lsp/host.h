// The engine process: computes for every loopd process of the user that connects, so that the model is loaded once.
//
// It knows no document and no protocol of an editor; those stay in the process that the editor started. So a host that
// dies loses caches only, and its clients go on with the next one (remote_engine.h).
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>

#include "lsp/server.h"

namespace lsp {

class Host {
 public:
  static constexpr std::size_t max_clients = 128;

  // `open` gives a connection what it computes with, on the thread of that connection: sessions of its own that take
  // turns with all others. Throws std::runtime_error, which the client is told, where there is no model.
  Host(std::string identity, std::function<LoadedModel()> open);
  ~Host();  // ends all connections
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  // Serves a connected socket, which is the host's from now on. Two threads each: one reads, one computes. More clients
  // than the limit are turned away.
  void serve(int socket);

  // Serves what connects to `listener`, if it is of the user `uid`, until nobody has been connected for `idle` or `wake`
  // (a descriptor; -1: none) is readable.
  void accept_until_idle(int listener, unsigned uid, std::chrono::milliseconds idle, int wake = -1);

 private:
  struct Client;
  void forget_ended();

  const std::string identity_;
  const std::function<LoadedModel()> open_;
  std::list<std::unique_ptr<Client>> clients_;  // of the accepting thread alone
};

}  // namespace lsp
