// A length in four bytes, little end first, then MessagePack.
#include "lsp/wire.h"

#include <algorithm>
#include <cerrno>
#include <stdexcept>
#include <utility>

#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "lsp/completion.h"

namespace lsp {
namespace {

using Json = nlohmann::json;
using Clock = std::chrono::steady_clock;

std::string pack(const Json& json) {
  std::string text;
  Json::to_msgpack(json, text);
  return text;
}

// Runs `read` on the message's JSON; whatever does not fit becomes one error.
template <typename Read>
auto unpack(std::string_view message, const char* what, Read read) {
  try {
    return read(Json::from_msgpack(message));
  } catch (const Json::exception& error) {
    throw std::runtime_error(std::string("between loopd processes: no ") + what + ": " + error.what());
  }
}

// Every field takes part in a stop rule or is named here as one that does not; a new field does not compile until it is
// dealt with.
Json to_json(const StopRule& rule) {
  const auto& [syntax_class, language, single_line, definition_header, in_comment, in_string, opens_block, scope_start,
               scope_end, indent, node, why] = rule.cursor;
  static_cast<void>(why);  // for people only
  return {{"class", static_cast<int>(syntax_class)}, {"language", static_cast<int>(language)}, {"line", single_line},
          {"header", definition_header}, {"comment", in_comment}, {"string", in_string}, {"opens", opens_block},
          {"start", scope_start}, {"end", scope_end}, {"indent", indent}, {"node", node},
          {"prefix", rule.line_prefix}, {"kept", rule.kept}};
}

StopRule read_rule(const Json& json) {
  StopRule rule;
  context::Cursor& cursor = rule.cursor;
  cursor.syntax_class = static_cast<context::SyntaxClass>(json.at("class").get<int>());
  cursor.language = static_cast<context::Language>(json.at("language").get<int>());
  json.at("line").get_to(cursor.single_line);
  json.at("header").get_to(cursor.definition_header);
  json.at("comment").get_to(cursor.in_comment);
  json.at("string").get_to(cursor.in_string);
  json.at("opens").get_to(cursor.opens_block);
  json.at("start").get_to(cursor.scope_start);
  json.at("end").get_to(cursor.scope_end);
  json.at("indent").get_to(cursor.indent);
  json.at("node").get_to(cursor.node);
  json.at("prefix").get_to(rule.line_prefix);
  json.at("kept").get_to(rule.kept);
  return rule;
}

Json to_json(const inference::GenerateParams& params) {
  Json json = {{"depth", params.depth}, {"max_tokens", params.max_tokens}, {"temperature", params.temperature},
               {"top_p", params.top_p}, {"seed", params.seed}, {"banned", params.banned_first},
               {"background", params.background}, {"speculate", params.speculate}, {"adaptive", params.adaptive},
               {"search", params.search_tokens}};
  if (params.deadline) json["ms_left"] = std::chrono::duration<double, std::milli>(*params.deadline - Clock::now()).count();
  if (params.stop_rule) {
    const StopRule* rule = params.stop_rule.target<StopRule>();
    if (!rule) throw std::logic_error("only an lsp::StopRule can stop an engine in another process");
    json["stop"] = to_json(*rule);
  }
  return json;
}

inference::GenerateParams read_params(const Json& json) {
  inference::GenerateParams params;
  json.at("depth").get_to(params.depth);
  json.at("max_tokens").get_to(params.max_tokens);
  json.at("temperature").get_to(params.temperature);
  json.at("top_p").get_to(params.top_p);
  json.at("seed").get_to(params.seed);
  json.at("banned").get_to(params.banned_first);
  json.at("background").get_to(params.background);
  json.at("speculate").get_to(params.speculate);
  json.at("adaptive").get_to(params.adaptive);
  json.at("search").get_to(params.search_tokens);
  if (json.contains("ms_left")) {
    // A day is as good as for ever, and cannot overflow.
    const double left = std::clamp(json.at("ms_left").get<double>(), 0.0, 864e5);
    params.deadline = Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double, std::milli>(left));
  }
  if (json.contains("stop")) params.stop_rule = read_rule(json.at("stop"));
  return params;
}

Json to_json(const inference::Timings& timings) {
  return {{"prefill", timings.prefill_ms}, {"decode", timings.decode_ms}, {"prompt", timings.prompt_tokens},
          {"reused", timings.reused_tokens}, {"computed", timings.computed_tokens}, {"generated", timings.generated_tokens},
          {"prefetched", timings.prefetched_tokens}, {"drafted", timings.drafted_tokens}, {"accepted", timings.accepted_tokens},
          {"verified", timings.verify_runs}, {"verify", timings.verify_ms}, {"early", timings.early_tokens},
          {"searched", timings.searched_tokens}};
}

inference::Timings read_timings(const Json& json) {
  return {json.at("prefill").get<double>(), json.at("decode").get<double>(), json.at("prompt").get<std::size_t>(),
          json.at("reused").get<std::size_t>(), json.at("computed").get<std::size_t>(), json.at("generated").get<std::size_t>(),
          json.at("prefetched").get<std::size_t>(), json.at("drafted").get<std::size_t>(), json.at("accepted").get<std::size_t>(),
          json.at("verified").get<std::size_t>(), json.at("verify").get<double>(), json.at("early").get<std::size_t>(),
          json.at("searched").get<std::size_t>()};
}

}  // namespace

std::string encode(const Greeting& greeting) {
  return pack({{"identity", greeting.identity}, {"error", greeting.error}, {"model", greeting.model},
               {"device", greeting.device}, {"summary", greeting.summary}, {"max_depth", greeting.max_depth},
               {"context", greeting.context}, {"answers", greeting.answers}});
}

Greeting read_greeting(std::string_view message) {
  return unpack(message, "greeting", [](const Json& json) {
    Greeting greeting;
    json.at("identity").get_to(greeting.identity);
    json.at("error").get_to(greeting.error);
    json.at("model").get_to(greeting.model);
    json.at("device").get_to(greeting.device);
    json.at("summary").get_to(greeting.summary);
    json.at("max_depth").get_to(greeting.max_depth);
    json.at("context").get_to(greeting.context);
    json.at("answers").get_to(greeting.answers);
    return greeting;
  });
}

std::string encode(const Request& request) {
  Json segments = Json::array();
  for (const auto& segment : request.segments) segments.push_back({segment.path, segment.text});
  Json json = {{"kind", static_cast<int>(request.kind)}, {"id", request.id}, {"session", request.session},
               {"path", request.path}, {"segments", segments}, {"prefix", request.prefix},
               {"params", to_json(request.params)}};
  if (request.suffix) json["suffix"] = *request.suffix;
  return pack(json);
}

Request read_request(std::string_view message) {
  return unpack(message, "request", [](const Json& json) {
    Request request;
    const int kind = json.at("kind").get<int>();
    if (kind < 0 || kind > static_cast<int>(Request::Kind::stop)) throw std::runtime_error("between loopd processes: no kind of request: " + std::to_string(kind));
    request.kind = static_cast<Request::Kind>(kind);
    json.at("id").get_to(request.id);
    json.at("session").get_to(request.session);
    json.at("path").get_to(request.path);
    for (const Json& segment : json.at("segments")) {
      request.segments.push_back({segment.at(0).get<std::string>(), segment.at(1).get<std::string>()});
    }
    json.at("prefix").get_to(request.prefix);
    if (json.contains("suffix")) request.suffix = json.at("suffix").get<std::string>();
    request.params = read_params(json.at("params"));
    return request;
  });
}

std::string encode(const Answer& answer) {
  const inference::GenerateResult& result = answer.result;
  return pack({{"id", answer.id}, {"error", answer.error}, {"text", result.text}, {"tokens", result.tokens},
               {"logprobs", result.logprobs}, {"token_ms", result.token_ms}, {"guesses", result.drafted}, {"right", result.accepted}, {"finish", static_cast<int>(result.finish)},
               {"timings", to_json(result.timings)}});
}

Answer read_answer(std::string_view message) {
  return unpack(message, "answer", [](const Json& json) {
    Answer answer;
    json.at("id").get_to(answer.id);
    json.at("error").get_to(answer.error);
    json.at("text").get_to(answer.result.text);
    json.at("tokens").get_to(answer.result.tokens);
    json.at("logprobs").get_to(answer.result.logprobs);
    json.at("token_ms").get_to(answer.result.token_ms);
    json.at("guesses").get_to(answer.result.drafted);
    json.at("right").get_to(answer.result.accepted);
    answer.result.finish = static_cast<inference::FinishReason>(json.at("finish").get<int>());
    answer.result.timings = read_timings(json.at("timings"));
    return answer;
  });
}

Channel::Channel(int socket) : socket_(socket) {
  const timeval patience{send_patience.count(), 0};
  setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
}

Channel::~Channel() { close(socket_); }

void Channel::shut() { ::shutdown(socket_, SHUT_RDWR); }

bool Channel::send(std::string_view message) {
  if (message.size() > max_message) return false;
  std::string bytes;
  bytes.reserve(message.size() + 4);
  for (int shift = 0; shift < 32; shift += 8) bytes += static_cast<char>(message.size() >> shift & 255);
  bytes += message;
  std::string_view left = bytes;
  while (!left.empty()) {
    const ssize_t put = ::send(socket_, left.data(), left.size(), MSG_NOSIGNAL);
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return false;
    left.remove_prefix(static_cast<std::size_t>(put));
  }
  return true;
}

// True where a whole message had come.
bool Channel::take_message(std::string& message) {
  if (received_.size() < 4) return false;
  std::size_t size = 0;
  for (std::size_t i = 0; i < 4; ++i) size |= static_cast<std::size_t>(static_cast<unsigned char>(received_[i])) << (8 * i);
  broken_ = size > max_message;
  if (broken_ || received_.size() < size + 4) return false;
  message = received_.substr(4, size);
  received_.erase(0, size + 4);
  return true;
}

Channel::Got Channel::receive(std::string& message, int wake, std::optional<Clock::time_point> until) {
  while (true) {
    if (take_message(message)) return Got::message;
    if (broken_) return Got::gone;
    int timeout_ms = -1;
    if (until) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(*until - Clock::now()).count();
      if (left <= 0) return Got::late;
      timeout_ms = static_cast<int>(std::min<long long>(left, 1'000'000));
    }
    pollfd watched[2] = {{socket_, POLLIN, 0}, {wake, POLLIN, 0}};
    const int ready = poll(watched, 2, timeout_ms);
    if (ready < 0 && errno != EINTR) return Got::gone;
    if (ready <= 0) continue;
    if (watched[1].revents != 0) return Got::woken;
    char chunk[64 * 1024];
    const ssize_t got = ::recv(socket_, chunk, sizeof chunk, MSG_DONTWAIT);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (got <= 0) return Got::gone;
    received_.append(chunk, static_cast<std::size_t>(got));
  }
}

}  // namespace lsp
