// The chat template of a checkpoint that follows instructions: what a conversation looks like to its model.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "inference/template.h"
#include "inference/tokenizer.h"

namespace inference {

struct ChatMessage {
  std::string role;  // "system", "user" or "assistant"
  std::string content;
};

class ChatTemplate {
 public:
  // Reads DIR/tokenizer_config.json. Nothing where there is none, or no template in it. A template that cannot be read is
  // kept as an error, since a model with one may still fill in the middle.
  static std::optional<ChatTemplate> load(const std::string& dir);

  // Whether the model was trained to answer: its text ends with what the template puts behind an answer. Base models carry
  // a template, too, but end otherwise.
  bool answers() const { return answers_; }
  // What the model ends an answer with, beside what its config.json says.
  const std::string& end_mark() const { return eos_; }
  // Why it cannot be rendered, one line; empty where it can.
  const std::string& error() const { return error_; }

  // The prompt for the assistant's next turn. Throws std::runtime_error, one line, where the template cannot be rendered.
  std::string render(const std::vector<ChatMessage>& messages, bool answer_next = true) const;
  // The same as tokens. Marks that the template writes are the model's; what merely looks like one in a message is text.
  std::vector<TokenId> encode(const Tokenizer& tokenizer, const std::vector<ChatMessage>& messages) const;

 private:
  ChatTemplate() = default;
  std::string file_;
  std::string bos_, eos_;
  std::string error_;
  std::optional<Template> template_;
  bool answers_ = false;
};

}  // namespace inference
