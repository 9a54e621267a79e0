// The per-client rules; each was measured against the client or read in its source.
#include "lsp/clients.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <utility>

namespace lsp {
namespace {

std::string lower_case(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

bool contains(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

// "0.12.4-dev" -> {0, 12}.
std::pair<int, int> major_minor(const std::string& version) {
  const std::size_t digits = version.find_first_of("0123456789");
  if (digits == std::string::npos) return {0, 0};
  char* end = nullptr;
  const long major = std::strtol(version.c_str() + digits, &end, 10);
  const long minor = *end == '.' ? std::strtol(end + 1, nullptr, 10) : 0;
  return {static_cast<int>(major), static_cast<int>(minor)};
}

// UTF-8 needs no conversion; else the client's default. A client that offers nothing speaks UTF-16.
PositionEncoding choose_encoding(const std::vector<std::string>& offered) {
  const auto has = [&](const char* name) { return std::find(offered.begin(), offered.end(), name) != offered.end(); };
  if (has("utf-8")) return PositionEncoding::utf8;
  if (offered.empty() || has("utf-16")) return PositionEncoding::utf16;
  return has("utf-32") ? PositionEncoding::utf32 : PositionEncoding::utf16;
}

bool is_word(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return std::isalnum(byte) || c == '_' || byte >= 0x80;
}

// Without the bytes behind the cursor that the suggestion repeats, for clients that cannot replace them.
std::string without_tail(const context::Document& document, std::size_t offset, const Completion& completion) {
  if (completion.replace_after == 0) return completion.text;
  const std::string tail = document.text().substr(offset, completion.replace_after);
  // What comes behind the repeated tail cannot be inserted in front of it, so that it is left out.
  return completion.text.substr(0, std::min(completion.text.rfind(tail), completion.text.size()));
}

}  // namespace

ClientProfile profile_of(const InitializeParams& params) {
  ClientProfile profile;
  const std::string name = lower_case(params.client_name);
  const auto version = major_minor(params.client_version);
  profile.name = params.client_name.empty() ? "an unnamed client" : params.client_name + " " + params.client_version;
  profile.encoding = choose_encoding(params.capabilities.position_encodings);
  profile.inline_completion = params.capabilities.inline_completion;
  profile.as_is = params.capabilities.insert_text_mode_as_is;
  profile.pulls_configuration = params.capabilities.pulls_configuration;

  const bool vscode = contains(name, "visual studio code") || contains(name, "code-server") || contains(name, "vscod");
  const bool neovim = contains(name, "neovim");
  const bool emacs = contains(name, "eglot") || contains(name, "emacs");
  using Lines = ClientProfile::PopupLines;
  if (vscode || emacs) profile.popup_lines = Lines::plain;
  // Its popup inserts only the first line of plain text, and expands snippets.
  if (neovim && version >= std::pair(0, 11) && params.capabilities.snippets) profile.popup_lines = Lines::snippet;
  profile.right_range = vscode || neovim;
  return profile;
}

std::vector<InlineCompletionItem> ghost_text(const ClientProfile& client, const context::Document& document,
                                             std::size_t offset, const std::vector<Completion>& completions) {
  std::vector<InlineCompletionItem> items;
  for (const Completion& completion : completions) {
    InlineCompletionItem item;
    item.insert_text = client.right_range ? completion.text : without_tail(document, offset, completion);
    const std::size_t end = client.right_range ? offset + completion.replace_after : offset;
    item.range = {to_position(document, offset, client.encoding), to_position(document, end, client.encoding)};
    if (!item.insert_text.empty()) items.push_back(std::move(item));
  }
  return items;
}

std::vector<CompletionItem> popup_items(const ClientProfile& client, const context::Document& document,
                                        std::size_t offset, const Completion& completion) {
  std::string text = completion.text;
  std::size_t end = offset + completion.replace_after;
  const std::size_t newline = text.find('\n');
  const bool lines = newline != std::string::npos;
  if (lines && client.popup_lines == ClientProfile::PopupLines::one) {
    text.resize(newline);
    if (!text.empty() && text.back() == '\r') text.pop_back();
    end = offset;  // the tail is repeated at the end of the text, which has just been cut off
  }
  if (text.find_first_not_of(" \t\r\n") == std::string::npos) return {};

  std::size_t word = offset;
  while (word > 0 && is_word(document.text()[word - 1])) --word;
  const std::string typed = document.text().substr(word, offset - word);
  const std::string whole = typed + text;
  const std::size_t first = whole.find_first_not_of(" \t\r\n");
  const std::size_t label_end = whole.find_first_of("\r\n", first);

  CompletionItem item;
  item.label = whole.substr(first, label_end == std::string::npos ? label_end : label_end - first);
  item.detail = "loopd";
  item.snippet = text.find('\n') != std::string::npos && client.popup_lines == ClientProfile::PopupLines::snippet;
  if (text.find('\n') != std::string::npos) item.documentation = whole;
  item.filter_text = typed.empty() ? item.label : whole.substr(0, whole.find_first_of("\r\n"));
  item.new_text = item.snippet ? escape_snippet(whole) : whole;
  item.range = {to_position(document, word, client.encoding), to_position(document, end, client.encoding)};
  item.as_is = client.as_is;
  return {std::move(item)};
}

std::string escape_snippet(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '\\' || c == '$' || c == '}') escaped += '\\';
    escaped += c;
  }
  return escaped;
}

bool TriggerKinds::is_explicit(std::optional<int> kind) {
  if (!kind) return false;
  if (*kind == 0) drafts_ = true;
  if (*kind == 2) drafts_ = false;
  return drafts_ ? *kind == 0 : *kind == 1;
}

}  // namespace lsp
