// One request at a time on a connection, where what still comes of an older one is skipped by its number; as many
// connections as there are requests at once.
#include "lsp/remote_engine.h"

#include <algorithm>
#include <future>
#include <list>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <unordered_map>
#include <utility>

#include <sys/eventfd.h>
#include <unistd.h>

#include "inference/tokenizer.h"
#include "lsp/log.h"
#include "lsp/rendezvous.h"
#include "lsp/wire.h"

namespace lsp {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int attempts = 3;
// A model of some 20 GB comes from a cold disk in about a minute.
constexpr std::chrono::minutes load_patience{5};
// Beyond a request's own deadline, which is looked at when the prompt has been computed. Then the host hangs.
constexpr std::chrono::seconds answer_patience{30};

// Readable once a stop was requested.
class StopSignal {
 public:
  StopSignal() : fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (fd_ < 0) throw CannotShare("no descriptor is left");
  }
  ~StopSignal() { close(fd_); }
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;
  void raise() const {
    const std::uint64_t one = 1;
    static_cast<void>(!write(fd_, &one, sizeof one));
  }
  void clear() const {
    std::uint64_t count = 0;
    static_cast<void>(!read(fd_, &count, sizeof count));
  }
  int fd() const { return fd_; }

 private:
  int fd_;
};

inference::GenerateResult unfinished(inference::FinishReason reason) {
  inference::GenerateResult result;
  result.finish = reason;
  return result;
}

// What all connections of this process share: how to make one, and the model in this process once sharing is over.
struct Sharing {
  explicit Sharing(RemoteOptions given) : options(std::move(given)) {}

  RemoteOptions options;
  std::mutex mutex;
  std::optional<LoadedModel> own;

  const LoadedModel* own_if_loaded() {
    const std::lock_guard lock(mutex);
    return own ? &*own : nullptr;
  }
  void load_own() {
    const std::lock_guard lock(mutex);
    if (!own) own = options.own();
  }
};

struct RemoteEngine {
  explicit RemoteEngine(std::shared_ptr<Sharing> given) : sharing(std::move(given)), options(sharing->options) {}

  std::shared_ptr<Sharing> sharing;
  const RemoteOptions& options;
  StopSignal stopped;
  std::optional<Channel> channel;
  std::optional<Greeting> greeting;  // of `channel`, once it has come
  std::uint64_t last_id = 0;

  // What a request is called in our own engine.
  using Call = std::function<inference::GenerateResult(const LoadedModel&)>;

  void drop() {
    channel.reset();
    greeting.reset();
  }

  // Connects and waits for the greeting; a host that ends just now is one more reason to try again. False where a stop
  // was requested: the next call waits on, so that a model that loads for long is not asked for by ever more connections.
  bool connect() {
    for (int attempt = 0; attempt < attempts && !greeting; ++attempt) {
      if (!channel) channel.emplace(options.connect());
      std::string message;
      const auto got = channel->receive(message, stopped.fd(), Clock::now() + load_patience);
      if (got == Channel::Got::woken) return false;
      if (got == Channel::Got::message) {
        greeting = read_greeting(message);
      } else {
        drop();
      }
    }
    if (!greeting) throw CannotShare("the engine process ended at once, " + std::to_string(attempts) + " times");
    const Greeting read = *greeting;
    if (read.identity == options.identity && read.error.empty()) return true;
    drop();
    if (read.identity != options.identity) throw CannotShare("the engine process is of another kind");
    throw std::runtime_error(read.error);
  }

  // The answer; nothing where the host died.
  std::optional<inference::GenerateResult> exchange(Request& request) {
    request.id = ++last_id;
    if (!channel->send(encode(request))) return std::nullopt;
    std::optional<Clock::time_point> until;
    if (request.params.deadline) until = std::max(*request.params.deadline, Clock::now()) + answer_patience;
    std::string message;
    while (true) {
      switch (channel->receive(message, stopped.fd(), until)) {
        case Channel::Got::gone:
          return std::nullopt;
        case Channel::Got::late:
          drop();
          throw std::runtime_error("the engine process does not answer");
        case Channel::Got::woken: {
          Request end;
          end.id = request.id;
          channel->send(encode(end));
          return unfinished(inference::FinishReason::cancelled);
        }
        case Channel::Got::message:
          break;
      }
      Answer answer = read_answer(message);
      if (answer.id != request.id) continue;
      if (!answer.error.empty()) throw std::runtime_error(answer.error);
      return std::move(answer.result);
    }
  }

  inference::GenerateResult ask(Request request, const std::stop_token& stop, const Call& here) {
    stopped.clear();
    const std::stop_callback wake(stop, [this] { stopped.raise(); });
    for (int attempt = 0; attempt < attempts && !sharing->own_if_loaded(); ++attempt) {
      try {
        if (!connect()) return unfinished(inference::FinishReason::cancelled);
        if (auto result = exchange(request)) return std::move(*result);
        log_line("the engine process is gone; going on with the next");
      } catch (const CannotShare& error) {
        log_line(std::string("the engine is no longer shared: ") + error.what());
        sharing->load_own();
      }
      drop();
    }
    if (const LoadedModel* own = sharing->own_if_loaded()) return here(*own);
    throw std::runtime_error("the engine process died " + std::to_string(attempts) + " times on this request");
  }
};

// The connections of this process. A document stays with one while that is free, because the host keeps its cache there.
class Connections {
 public:
  explicit Connections(RemoteOptions options) : sharing_(std::make_shared<Sharing>(std::move(options))) { all_.emplace_back(sharing_); }

  RemoteEngine& first() { return all_.front().engine; }

  inference::GenerateResult ask(Request request, const std::stop_token& stop, const RemoteEngine::Call& here) {
    const Use use(*this, request.session);
    return use.one->engine.ask(std::move(request), stop, here);
  }

 private:
  struct One {
    explicit One(const std::shared_ptr<Sharing>& sharing) : engine(sharing) {}
    RemoteEngine engine;
    bool used = false;
  };
  struct Use {
    Use(Connections& given, const std::string& session) : all(given), one(all.take(session)) {}
    ~Use() {
      const std::lock_guard lock(all.mutex_);
      one->used = false;
    }
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;
    Connections& all;
    One* one;
  };

  One* take(const std::string& session) {
    const std::lock_guard lock(mutex_);
    if (homes_.size() > most_homes) homes_.clear();
    One*& home = homes_[session];
    if (!home || home->used) {
      const auto free = std::find_if(all_.begin(), all_.end(), [](const One& one) { return !one.used; });
      home = free != all_.end() ? &*free : &all_.emplace_back(sharing_);
    }
    home->used = true;
    return home;
  }

  static constexpr std::size_t most_homes = 1000;
  const std::shared_ptr<Sharing> sharing_;
  std::mutex mutex_;  // guards what follows, but for the engines in use
  std::list<One> all_;
  std::unordered_map<std::string, One*> homes_;  // by session
};

Request request_for(Request::Kind kind, const std::string& session, const inference::FimPrompt& prompt) {
  Request request;
  request.kind = kind;
  request.session = session;
  request.path = prompt.path;
  for (const auto& segment : prompt.segments) request.segments.push_back({std::string(segment.path), std::string(segment.text)});
  request.prefix = prompt.prefix;
  request.suffix = std::string(prompt.suffix);
  return request;
}

}  // namespace

LoadedModel share_engine(RemoteOptions options, std::stop_token given_up) {
  const auto remote = std::make_shared<Connections>(std::move(options));
  RemoteEngine& first = remote->first();
  const std::stop_callback wake(std::move(given_up), [&first] { first.stopped.raise(); });
  // Meanwhile, because it takes as long as the engine process takes to load.
  auto reading = std::async(std::launch::async, [file = first.options.model_dir + "/tokenizer.json"] {
    return std::make_shared<const inference::Tokenizer>(inference::Tokenizer::load(file));
  });
  if (!first.connect()) throw std::runtime_error("loopd ends");
  const auto tokenizer = reading.get();
  const Greeting& greeting = *first.greeting;
  LoadedModel loaded;
  loaded.model = greeting.model;
  loaded.device = greeting.device;
  loaded.summary = greeting.summary;
  loaded.port.max_depth = greeting.max_depth;
  loaded.port.context = greeting.context;
  loaded.port.count = [tokenizer](std::string_view text) { return tokenizer->encode(text, false).size(); };
  loaded.port.token_bytes = [tokenizer](inference::TokenId id) { return tokenizer->bytes(id).size(); };
  loaded.port.generate = [remote](const std::string& session, const inference::FimPrompt& prompt,
                                  const inference::GenerateParams& params, std::stop_token stop) {
    Request request = request_for(Request::Kind::fill, session, prompt);
    request.params = params;
    return remote->ask(std::move(request), stop, [&](const LoadedModel& own) { return own.port.generate(session, prompt, params, stop); });
  };
  loaded.port.prefill = [remote](const std::string& session, const inference::FimPrompt& prompt, int depth, std::stop_token stop) {
    Request request = request_for(Request::Kind::prefill, session, prompt);
    request.params.depth = depth;
    remote->ask(std::move(request), stop, [&](const LoadedModel& own) {
      own.port.prefill(session, prompt, depth, stop);
      return inference::GenerateResult{};
    });
  };
  if (greeting.answers) {
    loaded.port.answer = [remote](const std::string& session, const std::string& system, const std::string& user,
                                  const inference::GenerateParams& params, std::stop_token stop) {
      Request request;
      request.kind = Request::Kind::answer;
      request.session = session;
      request.prefix = user;
      request.suffix = system;
      request.params = params;
      return remote->ask(std::move(request), stop, [&](const LoadedModel& own) { return own.port.answer(session, system, user, params, stop); });
    };
  }
  loaded.generate = [remote](const Sessions::GenerateRequest& wanted, std::stop_token stop) {
    Request request;
    request.kind = Request::Kind::generate;
    request.prefix = wanted.prompt;
    request.suffix = wanted.suffix;
    request.params = wanted.params;
    return remote->ask(std::move(request), stop, [&](const LoadedModel& own) { return own.generate(wanted, stop); });
  };
  loaded.owner = remote;
  return loaded;
}

}  // namespace lsp
