// What loopd and the engine process that editors share say to each other, as plain structs, and their way over a socket.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "inference/engine.h"

namespace lsp {

// The first message on a connection, of the engine process.
struct Greeting {
  std::string identity;  // of binary, model and settings; see rendezvous.h
  std::string error;     // why there is no engine, one line; empty where there is one
  std::string model;
  std::string device;
  std::string summary;
  int max_depth = 1;
  std::size_t context = 0;
  bool answers = false;  // ModelPort::answer is there
};

// A connection computes for one request at a time: the next one stops the one before, whose answer is not sent then.
struct Request {
  enum class Kind {
    fill,      // ModelPort::generate
    prefill,   // ModelPort::prefill; its answer is empty
    generate,  // LoadedModel::generate
    answer,    // ModelPort::answer: `suffix` is the system's message, `prefix` the user's
    stop,      // ends the request before, without an answer
  };
  struct Segment {
    std::string path, text;
  };
  Kind kind = Kind::stop;
  std::uint64_t id = 0;
  std::string session;
  std::string path;
  std::vector<Segment> segments;
  std::string prefix;                 // of `generate`: the prompt
  std::optional<std::string> suffix;
  // `stop_rule` has to be empty or an lsp::StopRule: no other function can be sent. `deadline` arrives as what is left of
  // it, so that the two processes need not agree on the time.
  inference::GenerateParams params;
};

struct Answer {
  std::uint64_t id = 0;
  std::string error;  // one line; empty where `result` holds
  inference::GenerateResult result;
};

// MessagePack, because prompts and results are bytes, not always UTF-8. The readers throw std::runtime_error, one line,
// for anything that the writers would not have written.
std::string encode(const Greeting& greeting);
std::string encode(const Request& request);
std::string encode(const Answer& answer);
Greeting read_greeting(std::string_view message);
Request read_request(std::string_view message);
Answer read_answer(std::string_view message);

// One end of a connection. One thread may send while another receives.
class Channel {
 public:
  static constexpr std::size_t max_message = 64 * 1024 * 1024;
  // The other side may leave a full buffer unread for so long before it counts as gone.
  static constexpr std::chrono::seconds send_patience{2};

  explicit Channel(int socket);  // owned
  ~Channel();
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  // False where the other side is gone.
  bool send(std::string_view message);

  enum class Got { message, gone, woken, late };
  // Waits for the next message. Ends early where `wake` (a descriptor; -1: none) becomes readable or `until` has come.
  Got receive(std::string& message, int wake = -1, std::optional<std::chrono::steady_clock::time_point> until = {});

  // From any thread: from now on nothing is sent, and receive() says `gone`.
  void shut();

 private:
  bool take_message(std::string& message);

  int socket_;
  std::string received_;
  bool broken_ = false;  // what came is no message
};

}  // namespace lsp
