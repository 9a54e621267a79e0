// An editor without a screen: replays recorded typing against a loopd process of its own, through the real protocol.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "lsp/commands/recording.h"
#include "lsp/streams.h"

namespace lsp {

struct TypingOptions {
  std::vector<std::string> arguments;    // of the loopd process
  std::vector<std::string> environment;  // NAME=VALUE, added to this process's
  int depth = 0;                         // for every syntax class; 0: loopd's own policy
  std::chrono::milliseconds debounce{0};  // between a key and the request for it
  std::size_t most_events = 0;           // of each recording; 0: all
};

// What the replays of one client came to.
struct TypingFigures {
  std::vector<double> key_ms;      // from a key's didChange to its answer, those answered before the next key
  std::vector<double> model_ms;    // the same, of answers for which the model ran
  std::vector<double> jump_ms;     // from the request after a cursor jump to its answer
  std::vector<double> tokens;      // prompt tokens computed for each key; their mean where one answer served several
  std::size_t keys = 0;
  std::size_t requests = 0;
  std::size_t cancelled = 0;       // by the next key
  std::size_t from_memory = 0;     // answered without the model
  std::size_t shown = 0;           // answers with text
  std::size_t taken = 0;
  std::size_t taken_characters = 0;
  std::size_t computed_tokens = 0;   // of prompts, inside requests
  std::size_t prefetched_tokens = 0;  // of prompts, ahead of requests
  std::size_t generated_tokens = 0;
  double engine_ms = 0;              // that the engine (GPU or CPU) worked on those answers, on their prompts inside requests
  // Of answers for which the model ran, by syntax class.
  struct Guesses {
    std::size_t answers = 0, generated = 0, drafted = 0, accepted = 0;  // tokens, but for the answers
    double decode_ms = 0;
  };
  std::map<std::string, Guesses> guesses;
};

class TypingClient {
 public:
  // `on_ready` is called once the process has its model and has answered for the first recording's first place, so that
  // what follows is warm. `on_end` when all recordings are through.
  TypingClient(EventLoop& loop, const std::vector<Recording>& recordings, TypingOptions options,
               std::function<void()> on_ready, std::function<void()> on_end);
  ~TypingClient();  // ends the process
  TypingClient(const TypingClient&) = delete;
  TypingClient& operator=(const TypingClient&) = delete;

  void begin();
  int process() const;
  // Why it did not get through; empty where it did.
  const std::string& trouble() const;
  const TypingFigures& figures() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace lsp
