// Compares the text around two cursors.
#include "lsp/recall.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace lsp {

namespace {

// What was typed since `last`; nothing where anything else of the text differs, or the user asks for more than typing got.
std::optional<std::string_view> typed_since(const Suggestion& last, const context::Document& document, std::size_t offset, bool explicit_request) {
  const std::string_view before = last.document->text();
  const std::string_view now = document.text();
  if (offset < last.offset || offset > now.size() || (explicit_request && !last.explicit_request)) return std::nullopt;
  if (now.substr(0, last.offset) != before.substr(0, last.offset)) return std::nullopt;
  if (now.substr(offset) != before.substr(last.offset)) return std::nullopt;
  return now.substr(last.offset, offset - last.offset);
}

bool goes_on(const Completion& completion, std::string_view typed) {
  // Where no model ran, settings or the model's state were the reason, and those change.
  if (completion.finish_reason == "off" || !completion.text.starts_with(typed)) return false;
  // What remains must be worth showing, except where nothing was asked again and there was nothing to show.
  return typed.empty() || completion.text.find_first_not_of(" \t\r\n", typed.size()) != std::string::npos;
}

}  // namespace

bool recalls(const Suggestion& last, const context::Document& document, std::size_t offset) {
  const auto typed = typed_since(last, document, offset, false);
  return typed && std::any_of(last.completions.begin(), last.completions.end(), [&](const Completion& one) { return goes_on(one, *typed); });
}

std::vector<Completion> recall(const Suggestion& last, const context::Document& document, std::size_t offset, bool explicit_request) {
  std::vector<Completion> all_left;
  const auto typed = typed_since(last, document, offset, explicit_request);
  if (!typed) return all_left;
  for (const Completion& completion : last.completions) {
    if (!goes_on(completion, *typed)) continue;
    Completion left = completion;
    left.text = completion.text.substr(typed->size());
    // Every byte that was typed along speaks for the rest, as if the doubt were spread evenly.
    if (!completion.text.empty()) left.probability = std::pow(left.probability, static_cast<double>(left.text.size()) / static_cast<double>(completion.text.size()));
    left.timings = {};
    left.explain.push_back("answered from the suggestion before, because what was typed since follows it");
    all_left.push_back(std::move(left));
  }
  return all_left;
}

}  // namespace lsp
