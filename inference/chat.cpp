// Renders with stand-ins for the messages, so that afterwards marks of the template and text of messages are told apart.
#include "inference/chat.h"

#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <utility>

#include <nlohmann/json.hpp>

#include "inference/one_line.h"

namespace inference {
namespace {

using Json = nlohmann::json;

// No template writes this, and nothing in it is a blank that a template would trim.
std::string stand_in(std::size_t message) { return "\x01" + std::to_string(message) + "\x02"; }

// "bos_token" and the like: a string, or an object with its "content".
std::string token(const Json& config, const char* key) {
  const auto found = config.find(key);
  if (found == config.end()) return "";
  if (found->is_string()) return found->get<std::string>();
  return found->is_object() ? found->value("content", std::string()) : "";
}

// One template, or several by name; null where there is none.
const Json* template_in(const Json& config) {
  const auto found = config.find("chat_template");
  if (found == config.end()) return nullptr;
  if (found->is_string()) return &*found;
  if (!found->is_array()) return nullptr;
  for (const Json& one : *found) {
    if (one.is_object() && one.value("name", Json()) == "default" && one.contains("template") && one["template"].is_string()) return &one["template"];
  }
  return nullptr;
}

}  // namespace

std::optional<ChatTemplate> ChatTemplate::load(const std::string& dir) {
  const std::string file = dir + "/tokenizer_config.json";
  std::ifstream stream(file, std::ios::binary);
  if (!stream) return std::nullopt;
  const Json config = Json::parse(std::string{std::istreambuf_iterator<char>(stream), {}}, nullptr, false);
  ChatTemplate chat;
  chat.file_ = file;
  if (!config.is_object()) {
    chat.error_ = file + ": not valid JSON; the file may be cut off";
    return chat;
  }
  const Json* source = template_in(config);
  if (!source) return std::nullopt;
  chat.bos_ = token(config, "bos_token");
  chat.eos_ = token(config, "eos_token");
  try {
    chat.template_.emplace(source->get<std::string>());
    const std::string turn = chat.render({{"user", "a"}, {"assistant", "b\x03"}}, false);
    const std::size_t end = turn.rfind('\x03');
    chat.answers_ = end != std::string::npos && !chat.eos_.empty() && turn.compare(end + 1, chat.eos_.size(), chat.eos_) == 0;
  } catch (const std::exception& error) {
    chat.error_ = file + ": the chat template cannot be rendered: " + error.what();
  }
  return chat;
}

std::string ChatTemplate::render(const std::vector<ChatMessage>& messages, bool answer_next) const {
  if (!error_.empty()) throw std::runtime_error(error_);
  TemplateList list;
  for (const ChatMessage& message : messages) {
    list.push_back(make_object({{"role", {message.role}}, {"content", {message.content}}}));
  }
  try {
    return template_->render({{"messages", make_list(std::move(list))}, {"add_generation_prompt", {answer_next}},
                              {"bos_token", {bos_}}, {"eos_token", {eos_}}});
  } catch (const std::exception& error) {
    throw one_line_error(file_ + ": the chat template cannot be rendered: " + error.what());
  }
}

std::vector<TokenId> ChatTemplate::encode(const Tokenizer& tokenizer, const std::vector<ChatMessage>& messages) const {
  std::vector<ChatMessage> marked = messages;
  for (std::size_t i = 0; i < marked.size(); ++i) marked[i].content = stand_in(i);
  const std::string frame = render(marked);
  std::vector<TokenId> tokens;
  const auto add = [&](std::string_view text, bool special) {
    const auto ids = tokenizer.encode(text, special);
    tokens.insert(tokens.end(), ids.begin(), ids.end());
  };
  std::size_t at = 0;
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const std::size_t found = frame.find(stand_in(i), at);
    if (found == std::string::npos) throw one_line_error(file_ + ": the chat template leaves out a message of the role " + messages[i].role);
    add(std::string_view(frame).substr(at, found - at), true);
    add(messages[i].content, false);
    at = found + stand_in(i).size();
  }
  add(std::string_view(frame).substr(at), true);
  return tokens;
}

}  // namespace inference
