// An engine in another process, behind the same functions as one in this: connects, reconnects and asks again.
//
// The states are two: connected, or not. A host that dies takes no document with it, so that the request under way is
// simply sent again, to the process that this one or another client starts in its place.
#pragma once

#include <functional>
#include <stop_token>
#include <string>

#include "lsp/server.h"

namespace lsp {

struct RemoteOptions {
  std::string identity;              // that the engine process must have
  std::function<int()> connect;      // a socket connected to an engine process; throws CannotShare
  std::function<LoadedModel()> own;  // loads the model in this process, should sharing end to be possible
  std::string model_dir;             // for the tokenizer, which counts in this process
};

// Connects, and waits until the model is loaded there. Throws CannotShare, or std::runtime_error where the model cannot be
// loaded or `given_up` was requested while it was. Its functions throw std::runtime_error where the engine failed, or died
// on the same request three times: then the request is the reason, and nothing is to be gained by computing it in this
// process. Several threads may call them at once, each on a connection of its own.
LoadedModel share_engine(RemoteOptions options, std::stop_token given_up);

}  // namespace lsp
