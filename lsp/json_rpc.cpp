// The dispatch loop, and the only place where handlers' exceptions are caught and turned into error codes.
#include "lsp/json_rpc.h"

#include <map>
#include <optional>
#include <unordered_map>
#include <utility>

#include <nlohmann/json.hpp>

namespace lsp {
namespace {

// Real messages nest some ten levels. Beyond this limit the library's recursive copy and dump could exhaust the stack.
constexpr int max_nesting = 200;

bool nested_too_deep(std::string_view text) {
  int depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      if (++depth > max_nesting) return true;
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return false;
}

// The code unit of a `\uXXXX` escape at `at`, if there is one.
std::optional<unsigned> unicode_escape(std::string_view text, std::size_t at) {
  if (at + 6 > text.size() || text[at] != '\\' || text[at + 1] != 'u') return std::nullopt;
  unsigned unit = 0;
  for (std::size_t i = at + 2; i < at + 6; ++i) {
    const char c = text[i];
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;
    if (digit < 0) return std::nullopt;
    unit = unit * 16 + static_cast<unsigned>(digit);
  }
  return unit;
}

// Editors send half a surrogate pair where the user split an emoji, and the parser refuses it. U+FFFD takes its place:
// it is one UTF-16 unit as well, so that later positions stay right.
std::string without_lone_surrogates(std::string_view text) {
  std::string fixed;
  fixed.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    const auto unit = unicode_escape(text, i);
    if (!unit) {
      const std::size_t step = text[i] == '\\' && i + 1 < text.size() ? 2 : 1;
      fixed.append(text.substr(i, step));
      i += step;
      continue;
    }
    const bool high = *unit >= 0xD800 && *unit < 0xDC00;
    const bool low = *unit >= 0xDC00 && *unit < 0xE000;
    const auto next = high ? unicode_escape(text, i + 6) : std::nullopt;
    if (next && *next >= 0xDC00 && *next < 0xE000) {
      fixed.append(text.substr(i, 12));
      i += 12;
    } else {
      fixed.append(high || low ? std::string_view("\\ufffd") : text.substr(i, 6));
      i += 6;
    }
  }
  return fixed;
}

// The message, or `discarded` JSON with the reason in `why`.
Json parse(std::string_view body, std::string& why) {
  if (nested_too_deep(body)) {
    why = "the message nests more than " + std::to_string(max_nesting) + " levels";
    return Json(Json::value_t::discarded);
  }
  Json message = Json::parse(body, nullptr, false);
  if (message.is_discarded()) message = Json::parse(without_lone_surrogates(body), nullptr, false);
  if (message.is_discarded()) why = "the message is not valid JSON";
  return message;
}

bool valid_id(const Json& id) { return id.is_number() || id.is_string(); }

Json error_object(ErrorCode code, const std::string& message) {
  return {{"code", static_cast<int>(code)}, {"message", message}};
}

// The one mapping from what a handler may throw to what the client reads.
ErrorCode code_of(const std::exception& thrown) {
  if (const auto* request_error = dynamic_cast<const RequestError*>(&thrown)) return request_error->code;
  if (dynamic_cast<const Json::exception*>(&thrown)) return ErrorCode::invalid_params;
  return ErrorCode::internal_error;
}

}  // namespace

std::string to_text(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

// What replies share with their dispatcher: outlived by it, they fall silent.
struct Reply::Target {
  Dispatcher::Send send;
  struct Running {
    std::uint64_t serial = 0;
    std::stop_source source;
  };
  std::unordered_map<std::string, Running> in_flight;  // unanswered requests by id, as JSON text
  std::uint64_t requests = 0;

  void respond(const std::string& id, std::string_view member, const Json& value) {
    send("{\"jsonrpc\":\"2.0\",\"id\":" + id + ",\"" + std::string(member) + "\":" + to_text(value) + "}");
  }
};

Reply::Reply(std::weak_ptr<Target> target, std::string id, std::uint64_t serial, std::stop_token cancelled)
    : target_(std::move(target)), id_(std::move(id)), serial_(serial), cancelled_(std::move(cancelled)) {}

Reply::Reply(Reply&& other) noexcept
    : target_(std::move(other.target_)), id_(std::move(other.id_)), serial_(other.serial_),
      cancelled_(std::move(other.cancelled_)), answered_(std::exchange(other.answered_, true)) {}

Reply::~Reply() {
  if (!answered_) error(ErrorCode::internal_error, "loopd dropped this request without an answer; please report it");
}

void Reply::operator()(const Json& result) { answer("result", result); }

void Reply::error(ErrorCode code, const std::string& message) { answer("error", error_object(code, message)); }

void Reply::answer(std::string_view member, const Json& value) {
  if (std::exchange(answered_, true)) return;
  const auto target = target_.lock();
  if (!target) return;
  const auto running = target->in_flight.find(id_);
  // No longer in flight: the client cancelled it and has its answer.
  if (running == target->in_flight.end() || running->second.serial != serial_) return;
  target->in_flight.erase(running);
  target->respond(id_, member, value);
}

struct Dispatcher::Tables {
  std::unordered_map<std::string, RequestHandler> requests;
  std::unordered_map<std::string, NotificationHandler> notifications;
  std::map<long long, ResponseHandler> expected;  // our own requests, by id
  long long next_id = 1;
};

Dispatcher::Dispatcher(Send send, Log log)
    : tables_(std::make_unique<Tables>()), target_(std::make_shared<Reply::Target>()), log_(std::move(log)) {
  target_->send = std::move(send);
}

Dispatcher::~Dispatcher() {
  for (auto& [id, running] : target_->in_flight) running.source.request_stop();
}

void Dispatcher::on_request(const std::string& method, RequestHandler handler) {
  tables_->requests[method] = std::move(handler);
}

void Dispatcher::on_notification(const std::string& method, NotificationHandler handler) {
  tables_->notifications[method] = std::move(handler);
}

bool Dispatcher::receive(std::string_view body) {
  std::string why;
  const Json message = parse(body, why);
  if (message.is_discarded()) {
    parse_error(why);
    return false;
  }
  const auto refuse = [&](const Json& id, const std::string& reason) {
    target_->respond(to_text(id), "error", error_object(ErrorCode::invalid_request, reason));
  };
  if (!message.is_object()) {
    refuse(nullptr, message.is_array() ? "batches are not part of LSP; send one message at a time"
                                       : "a message must be a JSON object");
    return true;
  }
  const auto version = message.find("jsonrpc");
  const auto id = message.find("id");
  const auto method = message.find("method");
  const bool has_id = id != message.end();
  const Json echoed = has_id && valid_id(*id) ? *id : Json();
  if (version == message.end() || *version != "2.0") {
    refuse(echoed, "a message must have \"jsonrpc\": \"2.0\"");
  } else if (method == message.end() && (message.contains("result") || message.contains("error"))) {
    handle_response(message);
  } else if (method == message.end() || !method->is_string()) {
    refuse(echoed, "a message must have a \"method\" that is a string");
  } else if (has_id && !valid_id(*id)) {
    refuse(nullptr, "a request's \"id\" must be a number or a string");
  } else {
    static const Json absent;
    const auto params = message.find("params");
    const Json& given = params == message.end() ? absent : *params;
    if (has_id) {
      handle_request(*method, given, to_text(*id));
    } else {
      handle_notification(*method, given);
    }
  }
  return true;
}

void Dispatcher::parse_error(const std::string& why) {
  log_("refused input: " + why);
  target_->respond("null", "error", error_object(ErrorCode::parse_error, why));
}

void Dispatcher::handle_request(const std::string& method, const Json& params, std::string id) {
  const Reply::Target::Running running{++target_->requests, {}};
  if (!target_->in_flight.emplace(id, running).second) {
    target_->respond(id, "error", error_object(ErrorCode::invalid_request, "a request with this id is still running"));
    return;
  }
  Reply reply(target_, std::move(id), running.serial, running.source.get_token());
  if (shut_down_) return reply.error(ErrorCode::invalid_request, "the server is shut down; only exit may follow");
  if (method == "initialize") {
    if (initialized_) return reply.error(ErrorCode::invalid_request, "initialize may be sent only once");
    initialized_ = true;
  } else if (!initialized_) {
    return reply.error(ErrorCode::server_not_initialized, "send initialize before " + method);
  }
  if (method == "shutdown") {
    shut_down_ = true;
    if (!tables_->requests.contains(method)) return reply(nullptr);
  }
  const auto handler = tables_->requests.find(method);
  if (handler == tables_->requests.end()) return reply.error(ErrorCode::method_not_found, "unknown method " + method);
  try {
    handler->second(params, reply);
  } catch (const std::exception& thrown) {
    log_(method + " failed: " + thrown.what());
    reply.error(code_of(thrown), thrown.what());
    if (method == "initialize") initialized_ = false;
  }
}

void Dispatcher::handle_notification(const std::string& method, const Json& params) {
  if (method == "exit") {
    exited_ = true;
    return;
  }
  if (method == "$/cancelRequest") return cancel(params);
  const auto handler = tables_->notifications.find(method);
  if (handler == tables_->notifications.end()) {
    if (method.rfind("$/", 0) != 0) log_("ignored the notification " + method);
    return;
  }
  if (!initialized_ || shut_down_) {
    log_("ignored " + method + (shut_down_ ? " after shutdown" : " before initialize"));
    return;
  }
  try {
    handler->second(params);
  } catch (const std::exception& thrown) {
    log_(method + " failed: " + thrown.what());
  }
}

void Dispatcher::cancel(const Json& params) {
  const auto id = params.find("id");
  if (id == params.end()) return;
  const auto running = target_->in_flight.find(to_text(*id));
  if (running == target_->in_flight.end()) return;  // answered already, or never sent: both are usual
  std::stop_source source = running->second.source;
  const std::string text = running->first;
  target_->in_flight.erase(running);
  target_->respond(text, "error", error_object(ErrorCode::request_cancelled, "cancelled by the client"));
  source.request_stop();
}

void Dispatcher::handle_response(const Json& message) {
  const auto id = message.find("id");
  const auto expected = id != message.end() && id->is_number_integer()
                            ? tables_->expected.find(id->get<long long>())
                            : tables_->expected.end();
  if (expected == tables_->expected.end()) return log_("ignored a response that answers no request of ours");
  const ResponseHandler on_result = std::move(expected->second);
  tables_->expected.erase(expected);
  const auto error = message.find("error");
  if (error != message.end()) return log_("the client answered with an error: " + to_text(*error));
  try {
    on_result(message.at("result"));
  } catch (const std::exception& thrown) {
    log_(std::string("the client's answer could not be used: ") + thrown.what());
  }
}

void Dispatcher::notify(const std::string& method, const Json& params) {
  target_->send(to_text({{"jsonrpc", "2.0"}, {"method", method}, {"params", params}}));
}

void Dispatcher::request(const std::string& method, const Json& params, ResponseHandler on_result) {
  const long long id = tables_->next_id++;
  tables_->expected[id] = std::move(on_result);
  target_->send(to_text({{"jsonrpc", "2.0"}, {"id", id}, {"method", method}, {"params", params}}));
}

}  // namespace lsp
