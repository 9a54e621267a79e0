// JSON-RPC 2.0 over whole messages: the method table, replies that happen exactly once, cancellation, lifecycle errors.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

namespace lsp {

using Json = nlohmann::json;

enum class ErrorCode : int {
  parse_error = -32700,
  invalid_request = -32600,
  method_not_found = -32601,
  invalid_params = -32602,
  internal_error = -32603,
  server_not_initialized = -32002,
  request_cancelled = -32800,
  request_failed = -32803,
};

// Thrown by handlers to answer a request with this error.
struct RequestError : std::runtime_error {
  RequestError(ErrorCode error_code, const std::string& message) : std::runtime_error(message), code(error_code) {}
  ErrorCode code;
};

class Dispatcher;

// The one answer of one request. Whoever holds it answers by calling it; dropped without an answer it sends an internal
// error, so no client ever waits in vain. Only for the thread that the Dispatcher runs on.
class Reply {
 public:
  Reply(Reply&&) noexcept;
  Reply& operator=(Reply&&) = delete;
  ~Reply();

  void operator()(const Json& result);
  void error(ErrorCode code, const std::string& message);
  // Set when the client cancels the request; the error -32800 has then been sent already and later answers are ignored.
  std::stop_token cancelled() const { return cancelled_; }

 private:
  friend class Dispatcher;
  struct Target;
  Reply(std::weak_ptr<Target> target, std::string id, std::uint64_t serial, std::stop_token cancelled);
  void answer(std::string_view member, const Json& value);

  std::weak_ptr<Target> target_;
  std::string id_;        // as JSON text
  std::uint64_t serial_;  // tells requests apart that reuse an id
  std::stop_token cancelled_;
  bool answered_ = false;
};

// Routes incoming messages to handlers, one thread only. Knows the lifecycle (initialize, shutdown, exit), because it
// decides which messages are allowed when; what those methods do is for the handlers to say.
class Dispatcher {
 public:
  using Send = std::function<void(std::string message)>;
  using Log = std::function<void(const std::string& line)>;
  // Answers through `reply`, or moves it away to answer later. What it throws becomes the answer.
  using RequestHandler = std::function<void(const Json& params, Reply& reply)>;
  using NotificationHandler = std::function<void(const Json& params)>;
  using ResponseHandler = std::function<void(const Json& result)>;

  Dispatcher(Send send, Log log);
  ~Dispatcher();
  Dispatcher(const Dispatcher&) = delete;
  Dispatcher& operator=(const Dispatcher&) = delete;

  void on_request(const std::string& method, RequestHandler handler);
  void on_notification(const std::string& method, NotificationHandler handler);

  // Handles one message. False where the bytes are not JSON (the parse error has been sent).
  bool receive(std::string_view body);
  // Answers bytes that never became a message.
  void parse_error(const std::string& why);

  void notify(const std::string& method, const Json& params);
  // Sends a request to the client; an error answer is logged and `on_result` is not called.
  void request(const std::string& method, const Json& params, ResponseHandler on_result);

  bool exited() const { return exited_; }
  // What the process ends with: 0 after shutdown, else 1.
  int exit_code() const { return shut_down_ ? 0 : 1; }

 private:
  void handle_request(const std::string& method, const Json& params, std::string id);
  void handle_notification(const std::string& method, const Json& params);
  void handle_response(const Json& message);
  void cancel(const Json& params);

  struct Tables;
  std::unique_ptr<Tables> tables_;
  std::shared_ptr<Reply::Target> target_;
  Log log_;
  bool initialized_ = false;
  bool shut_down_ = false;
  bool exited_ = false;
};

// JSON as one line of valid UTF-8 whatever bytes its strings hold: invalid ones become U+FFFD.
std::string to_text(const Json& json);

}  // namespace lsp
