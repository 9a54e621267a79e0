// One process, one document at a time, one request at a time: the next key cancels what is still under way.
#include "lsp/commands/typing_client.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <unordered_map>
#include <utility>

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "lsp/commands/typist.h"
#include "lsp/framing.h"
#include "lsp/json_rpc.h"

extern char** environ;

namespace lsp {
namespace {

using Clock = std::chrono::steady_clock;

// Longer pauses tell nothing more: all that is prepared in them is ready by then.
constexpr double longest_wait_ms = 1200;
// A shorter suggestion is not worth a key.
constexpr std::size_t shortest_taken = 3;

double ms_since(Clock::time_point start) { return std::chrono::duration<double, std::milli>(Clock::now() - start).count(); }

struct Child {
  pid_t process = -1;
  Connection connection;
};

Child spawn(const std::vector<std::string>& arguments, const std::vector<std::string>& environment) {
  int to[2], from[2];
  if (pipe2(to, O_CLOEXEC) != 0 || pipe2(from, O_CLOEXEC) != 0) throw std::runtime_error("no pipe is left");
  std::vector<char*> argv{const_cast<char*>("loopd")};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  std::vector<char*> envp;
  for (const std::string& entry : environment) envp.push_back(const_cast<char*>(entry.c_str()));
  for (char** entry = environ; *entry; ++entry) envp.push_back(*entry);
  envp.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, to[0], STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, from[1], STDOUT_FILENO);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  Child child;
  const int error = posix_spawn(&child.process, "/proc/self/exe", &actions, nullptr, argv.data(), envp.data());
  posix_spawn_file_actions_destroy(&actions);
  close(to[0]);
  close(from[1]);
  if (error != 0) throw std::runtime_error(std::string("loopd cannot be started: ") + std::strerror(error));
  child.connection = {from[0], to[1], true};
  return child;
}

}  // namespace

struct TypingClient::State : std::enable_shared_from_this<TypingClient::State> {
  State(EventLoop& given_loop, const std::vector<Recording>& given, TypingOptions wanted, std::function<void()> ready, std::function<void()> end)
      : loop(given_loop), recordings(given), options(std::move(wanted)), on_ready(std::move(ready)), on_end(std::move(end)),
        child(spawn(options.arguments, options.environment)) {}

  EventLoop& loop;
  const std::vector<Recording>& recordings;
  TypingOptions options;
  std::function<void()> on_ready, on_end;
  Child child;
  Framer framer;
  std::optional<Stream> stream;
  int last_id = 0;
  std::unordered_map<int, std::function<void(const Json&)>> awaited;
  std::string trouble;
  TypingFigures figures;
  bool ready = false, over = false;

  std::size_t recording = 0, event = 0;  // the next ones
  std::optional<Typist> typist;
  int version = 0;
  std::string uri;
  // The request under way: its number (0: none), when its key was pressed and when it was sent.
  int pending = 0;
  Clock::time_point pressed, sent;
  int stroke = 0;                  // counts events, so that a debounced request knows whether it is still wanted
  std::size_t keys_since = 0;      // since the last answer
  // The suggestion on the screen, for the cursor where it is; its range's start lies `before` bytes in front of it.
  std::optional<BufferEdit> suggestion;

  const Recording& current() const { return recordings[recording]; }

  // The protocol.

  void send(const Json& message) { stream->send(frame(to_text(message))); }
  void notify(const char* method, Json params) { send({{"jsonrpc", "2.0"}, {"method", method}, {"params", std::move(params)}}); }
  int request(const char* method, Json params, std::function<void(const Json& result)> then) {
    const int id = ++last_id;
    awaited[id] = std::move(then);
    send({{"jsonrpc", "2.0"}, {"id", id}, {"method", method}, {"params", std::move(params)}});
    return id;
  }

  void receive(std::string_view bytes) {
    framer.feed(bytes);
    while (const auto got = framer.next()) {
      const Json message = Json::parse(got->text, nullptr, false);
      if (!message.is_object()) continue;
      const std::string method = message.value("method", "");
      if (method == "loopd/status") {
        hear(message.at("params"));
      } else if (message.contains("method") && message.contains("id")) {
        send({{"jsonrpc", "2.0"}, {"id", message.at("id")}, {"result", nullptr}});
      } else if (method.empty() && message.contains("id") && message.at("id").is_number_integer()) {
        const auto found = awaited.find(message.at("id").get<int>());
        if (found == awaited.end()) continue;
        const auto then = std::move(found->second);
        awaited.erase(found);
        then(message.contains("result") ? message.at("result") : Json());
      }
    }
  }

  void give_up(const std::string& why) {
    if (over) return;
    over = true;
    trouble = why;
    on_end();
  }

  void start() {
    stream.emplace(loop, child.connection, [this](std::string_view bytes) { receive(bytes); }, [this] { give_up("the server ended early"); });
    Json settings = Json::object();
    if (options.depth > 0) settings["depth"] = {{"identifier", options.depth}, {"function", options.depth}, {"module", options.depth}};
    const Json capabilities = {{"general", {{"positionEncodings", {"utf-8"}}}},
                               {"textDocument", {{"inlineCompletion", Json::object()}}}};
    request("initialize", {{"processId", getpid()}, {"clientInfo", {{"name", "bench"}, {"version", "1"}}}, {"rootUri", nullptr},
                           {"capabilities", capabilities}, {"initializationOptions", settings}},
            [this](const Json&) { notify("initialized", Json::object()); });
  }

  void hear(const Json& status) {
    const std::string state = status.value("state", "");
    if (state == "error") give_up(status.value("message", "the model did not load"));
    if (state != "ready" || ready) return;
    ready = true;
    open();
    const auto first = std::find_if(current().events.begin(), current().events.end(), [](const RecordedEvent& one) { return one.jump.has_value(); });
    if (first != current().events.end()) typist->jump(*first->jump);
    ask_here([this](const Json&) { on_ready(); });
  }

  void open() {
    uri = "file:///bench/" + std::to_string(recording) + "/" + current().path;
    typist.emplace(current().start, current().indent);
    version = 1;
    event = 0;
    suggestion.reset();
    notify("textDocument/didOpen", {{"textDocument", {{"uri", uri}, {"languageId", current().language}, {"version", version}, {"text", current().start}}}});
  }

  Json position(const std::string& text, std::size_t offset) const {
    const std::size_t newline = offset == 0 ? std::string::npos : text.rfind('\n', offset - 1);
    const std::size_t start = newline == std::string::npos ? 0 : newline + 1;
    return {{"line", std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(start), '\n')}, {"character", offset - start}};
  }

  std::size_t offset_of(const Json& at) const {
    std::size_t start = 0;
    for (int line = at.at("line").get<int>(); line > 0; --line) start = typist->text().find('\n', start) + 1;
    return start + at.at("character").get<std::size_t>();
  }

  int ask_here(std::function<void(const Json&)> then) {
    return request("textDocument/inlineCompletion", {{"textDocument", {{"uri", uri}}}, {"position", position(typist->text(), typist->cursor())},
                                                     {"context", {{"triggerKind", 2}}}}, std::move(then));
  }

  // Typing.

  void next() {
    const auto& events = current().events;
    const std::size_t most = options.most_events == 0 ? events.size() : std::min(events.size(), options.most_events);
    if (event >= most) return end_recording();
    const double wait = std::min(events[event].wait_ms, longest_wait_ms);
    loop.after(std::chrono::milliseconds(static_cast<int>(wait)), [weak = weak_from_this()] {
      if (const auto self = weak.lock(); self && !self->over) self->stroke_now();
    });
  }

  void end_recording() {
    cancel_pending();
    notify("textDocument/didClose", {{"textDocument", {{"uri", uri}}}});
    if (++recording < recordings.size()) {
      open();
      return next();
    }
    over = true;
    on_end();
  }

  void cancel_pending() {
    if (pending == 0) return;
    notify("$/cancelRequest", {{"id", pending}});
    ++figures.cancelled;
    pending = 0;
  }

  // The suggestion says what comes next in the recording.
  bool worth_taking() const {
    if (!suggestion || suggestion->text.size() < shortest_taken + (typist->cursor() - suggestion->start)) return false;
    const std::string until = typist->text().substr(0, suggestion->start) + suggestion->text;
    return current().final.starts_with(until);
  }

  void stroke_now() {
    cancel_pending();
    ++stroke;
    const RecordedEvent& now = current().events[event];
    pressed = Clock::now();
    if (now.take && worth_taking()) {
      const BufferEdit edit = *suggestion;
      ++figures.taken;
      figures.taken_characters += edit.text.size() - (typist->cursor() - edit.start);
      change([&] { return typist->take(edit.start, edit.end, edit.text); });
      const auto& events = current().events;
      while (event < events.size() && events[event].reached <= typist->cursor()) ++event;
    } else {
      ++event;
      if (now.jump) {
        typist->jump(*now.jump);
      } else {
        change([&] { return typist->press(now.key); });
      }
    }
    suggestion.reset();
    ++figures.keys;
    ++keys_since;
    const bool jumped = now.jump.has_value();
    if (options.debounce.count() == 0) {
      ask(jumped);
    } else {
      loop.after(options.debounce, [weak = weak_from_this(), mine = stroke, jumped] {
        if (const auto self = weak.lock(); self && !self->over && self->stroke == mine) self->ask(jumped);
      });
    }
    next();
  }

  // Tells of an edit; positions are those of the text before it.
  template <typename Apply>
  void change(const Apply& apply) {
    const std::string before = typist->text();
    const BufferEdit done = apply();
    notify("textDocument/didChange",
           {{"textDocument", {{"uri", uri}, {"version", ++version}}},
            {"contentChanges", {{{"range", {{"start", position(before, done.start)}, {"end", position(before, done.end)}}}, {"text", done.text}}}}});
  }

  void ask(bool jumped) {
    sent = Clock::now();
    ++figures.requests;
    pending = ask_here([this, jumped, id = last_id + 1](const Json& result) {
      if (pending != id) return;  // cancelled
      pending = 0;
      if (jumped) {
        figures.jump_ms.push_back(ms_since(sent));
      } else {
        figures.key_ms.push_back(ms_since(pressed));
      }
      take_note(result);
      request("loopd/explain", {{"textDocument", {{"uri", uri}}}}, [this, jumped](const Json& report) { count(report, jumped); });
    });
  }

  void take_note(const Json& result) {
    suggestion.reset();
    const Json items = result.is_object() ? result.value("items", Json::array()) : Json::array();
    if (items.empty()) return;
    const Json& item = items.at(0);
    const Json range = item.value("range", Json{{"start", position(typist->text(), typist->cursor())}, {"end", position(typist->text(), typist->cursor())}});
    suggestion = BufferEdit{offset_of(range.at("start")), offset_of(range.at("end")), item.value("insertText", "")};
    figures.shown += suggestion->text.empty() ? 0 : 1;
  }

  // What the answer cost, and what was computed in front of it.
  void count(const Json& report, bool jumped) {
    const std::size_t keys = std::max<std::size_t>(1, std::exchange(keys_since, 0));
    std::size_t computed = 0;
    if (report.is_object() && report.value("recalled", 0) == 0) {
      const Json& tokens = report.at("tokens");
      figures.computed_tokens += tokens.value("computed", std::size_t{0});
      figures.prefetched_tokens += tokens.value("prefetched", std::size_t{0});
      figures.generated_tokens += tokens.value("generated", std::size_t{0});
      TypingFigures::Guesses& guesses = figures.guesses[report.value("syntax_class", "none")];
      ++guesses.answers;
      guesses.generated += tokens.value("generated", std::size_t{0});
      guesses.drafted += tokens.value("drafted", std::size_t{0});
      guesses.accepted += tokens.value("accepted", std::size_t{0});
      guesses.decode_ms += report.at("timings_ms").value("decode", 0.0);
      figures.engine_ms += report.at("timings_ms").value("total", 0.0);
      computed = tokens.value("computed", std::size_t{0}) + tokens.value("prefetched", std::size_t{0});
      if (!jumped && !figures.key_ms.empty()) figures.model_ms.push_back(figures.key_ms.back());
    } else {
      ++figures.from_memory;
    }
    figures.tokens.insert(figures.tokens.end(), keys, static_cast<double>(computed) / static_cast<double>(keys));
  }
};

TypingClient::TypingClient(EventLoop& loop, const std::vector<Recording>& recordings, TypingOptions options,
                           std::function<void()> on_ready, std::function<void()> on_end)
    : state_(std::make_shared<State>(loop, recordings, std::move(options), std::move(on_ready), std::move(on_end))) {
  state_->start();
}

TypingClient::~TypingClient() {
  state_->over = true;
  if (state_->stream) {
    state_->request("shutdown", nullptr, [](const Json&) {});
    state_->notify("exit", nullptr);
  }
  state_->stream.reset();
  int status = 0;
  while (waitpid(state_->child.process, &status, 0) < 0 && errno == EINTR) {
  }
}

void TypingClient::begin() {
  state_->keys_since = 0;
  state_->next();
}

int TypingClient::process() const { return state_->child.process; }
const std::string& TypingClient::trouble() const { return state_->trouble; }
const TypingFigures& TypingClient::figures() const { return state_->figures; }

}  // namespace lsp
