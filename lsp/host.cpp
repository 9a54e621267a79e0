// One reader thread and one scheduler per connection; the newest request of a connection wins.
#include "lsp/host.h"

#include <atomic>
#include <cerrno>
#include <stdexcept>
#include <thread>
#include <utility>

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lsp/log.h"
#include "lsp/rendezvous.h"
#include "lsp/scheduler.h"
#include "lsp/wire.h"

namespace lsp {
namespace {

using Clock = std::chrono::steady_clock;

inference::GenerateResult compute(const LoadedModel& model, const Request& request, std::stop_token stop) {
  if (request.kind == Request::Kind::generate) {
    return model.generate({request.prefix, request.suffix, request.params}, std::move(stop));
  }
  if (request.kind == Request::Kind::answer) {
    if (!model.port.answer) throw std::runtime_error("this model follows no instructions");
    return model.port.answer(request.session, request.suffix.value_or(""), request.prefix, request.params, std::move(stop));
  }
  std::vector<inference::FimSegment> segments;
  for (const auto& segment : request.segments) segments.push_back({segment.path, segment.text});
  const inference::FimPrompt prompt{request.path, segments, request.prefix, request.suffix ? *request.suffix : std::string_view()};
  if (request.kind == Request::Kind::fill) return model.port.generate(request.session, prompt, request.params, std::move(stop));
  model.port.prefill(request.session, prompt, request.params.depth, std::move(stop));
  return {};
}

Greeting greeting_of(const std::string& identity, const LoadedModel& model) {
  return {identity, "", model.model, model.device, model.summary, model.port.max_depth, model.port.context, static_cast<bool>(model.port.answer)};
}

}  // namespace

struct Host::Client {
  Client(int socket, const std::string& identity, const std::function<LoadedModel()>& open) : channel(socket) {
    thread = std::jthread([this, identity, open] {
      talk(identity, open);
      channel.shut();
      ended = true;
    });
  }
  ~Client() { channel.shut(); }

  void talk(const std::string& identity, const std::function<LoadedModel()>& open) {
    try {
      model = open();
    } catch (const std::exception& error) {
      Greeting refusal;
      refusal.identity = identity;
      refusal.error = error.what();
      channel.send(encode(refusal));
      return;
    }
    if (!channel.send(encode(greeting_of(identity, model)))) return;
    Scheduler scheduler;  // ends, and with it what runs, before the model goes
    std::string message;
    try {
      while (channel.receive(message) == Channel::Got::message) submit(scheduler, read_request(message));
    } catch (const std::exception& error) {
      log_line(std::string("a client is dropped: ") + error.what());
    }
    scheduler.stop();
  }

  // All requests count as one document, so that the newest wins. Whoever was superseded knows it and awaits no answer.
  void submit(Scheduler& scheduler, Request request) {
    constexpr const char* all = "requests";
    if (request.kind == Request::Kind::stop) return scheduler.supersede(all);
    const auto answer = std::make_shared<Answer>();
    answer->id = request.id;
    Job job;
    job.document = all;
    job.work = [this, answer, request = std::move(request)](std::stop_token stop) { answer->result = compute(model, request, stop); };
    job.finished = [this, answer](Outcome outcome, const std::string& error) {
      if (outcome != Outcome::done && outcome != Outcome::failed) return;
      answer->error = outcome == Outcome::failed && error.empty() ? "unknown" : error;
      channel.send(encode(*answer));
    };
    scheduler.submit(std::move(job));
  }

  Channel channel;
  LoadedModel model;
  std::atomic<bool> ended = false;
  std::jthread thread;  // last: joined before what it uses goes
};

Host::Host(std::string identity, std::function<LoadedModel()> open) : identity_(std::move(identity)), open_(std::move(open)) {}

Host::~Host() = default;

void Host::serve(int socket) {
  forget_ended();
  if (clients_.size() >= max_clients) {
    close(socket);
    return;
  }
  clients_.push_back(std::make_unique<Client>(socket, identity_, open_));
}

void Host::forget_ended() {
  std::erase_if(clients_, [](const auto& client) { return client->ended.load(); });
}

void Host::accept_until_idle(int listener, unsigned uid, std::chrono::milliseconds idle, int wake) {
  auto busy_at = Clock::now();
  while (true) {
    // Looked at four times in the span, so that it is known well enough when the last client left.
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(busy_at + idle - Clock::now());
    const auto timeout = std::min<long long>(std::max<long long>(left.count(), 0), idle.count() / 4 + 1);
    pollfd watched[2] = {{listener, POLLIN, 0}, {wake, POLLIN, 0}};
    const int ready = poll(watched, 2, static_cast<int>(timeout));
    if (ready > 0 && watched[1].revents != 0) return;
    if (ready > 0 && watched[0].revents != 0) {
      const int socket = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
      if (socket < 0 && errno != EINTR && errno != ECONNABORTED && errno != EAGAIN) return;
      if (socket >= 0 && !peer_is_user(socket, uid)) {
        log_line("another user's connection is refused");
        close(socket);
      } else if (socket >= 0) {
        serve(socket);
      }
    }
    forget_ended();
    if (!clients_.empty()) busy_at = Clock::now();
    if (Clock::now() - busy_at >= idle) return;
  }
}

}  // namespace lsp
