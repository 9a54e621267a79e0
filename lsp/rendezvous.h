// Where loopd processes of one user meet, so that one of them loads the model for all: a socket, and who may start it.
#pragma once

#include <functional>
#include <stdexcept>
#include <string>

#include "inference/engine.h"

namespace lsp {

// Engine processes cannot be shared here (no runtime folder, another user's socket, ...), for the reason in what().
// Nothing is wrong with the model: it can be loaded in this process.
struct CannotShare : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Two loopd processes share an engine where this is equal: the binary, to its last byte, the model's files, device,
// threads, kernels. So there is no version that an engine could have wrong.
std::string engine_identity(const inference::EngineOptions& options);

// $XDG_RUNTIME_DIR/loopd, or /tmp/loopd-UID where that is not set; made with mode 0700. Throws CannotShare where it is
// not a folder of this user that nobody else may enter.
std::string runtime_folder();

// Whether the process at the other end of a connected Unix socket belongs to user `uid`.
bool peer_is_user(int socket, unsigned uid);

// The socket for `identity` and how its engine process is started.
struct Rendezvous {
  std::string socket;  // path
  std::string identity;
  // Starts the process that is to answer on `listener`, and returns without waiting for the model. The listener stays the
  // caller's. Throws CannotShare.
  std::function<void(int listener)> start;

  // A connection to the engine process, which is started if none listens. Of many who come at once one starts it, while
  // they hold a lock beside the socket; the socket listens before the process runs, so that nobody has to wait for it to
  // come up. The connection may break as soon as it is made, where that process fails or was just ending. Throws
  // CannotShare.
  int connect() const;
  // Takes the socket's name away from a listener that wants to end, unless it is another's by now.
  void leave(int listener) const;
};

// The one for this engine; its process is this binary as `loopd host`, in a session of its own.
Rendezvous rendezvous_for(const inference::EngineOptions& options, int idle_seconds);

}  // namespace lsp
