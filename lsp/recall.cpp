// Compares the text around two cursors.
#include "lsp/recall.h"

#include <cmath>
#include <string_view>

namespace lsp {

std::optional<Completion> recall(const Suggestion& last, const context::Document& document, std::size_t offset,
                                 bool explicit_request) {
  const std::string_view before = last.document->text();
  const std::string_view now = document.text();
  if (offset < last.offset || offset > now.size() || (explicit_request && !last.explicit_request)) return std::nullopt;
  // Where no model ran, settings or the model's state were the reason, and those change.
  if (last.completion.finish_reason == "off") return std::nullopt;
  const std::string_view typed = now.substr(last.offset, offset - last.offset);
  const std::string_view text = last.completion.text;
  if (text.substr(0, typed.size()) != typed || typed.size() > text.size()) return std::nullopt;
  if (now.substr(0, last.offset) != before.substr(0, last.offset)) return std::nullopt;
  if (now.substr(offset) != before.substr(last.offset)) return std::nullopt;
  // What remains must be worth showing, except where nothing was asked again and there was nothing to show.
  const std::string_view rest = text.substr(typed.size());
  const bool blank = rest.find_first_not_of(" \t\r\n") == std::string_view::npos;
  if (blank && !typed.empty()) return std::nullopt;
  Completion left = last.completion;
  // Every byte that was typed along speaks for the rest, as if the doubt were spread evenly.
  if (!text.empty()) left.probability = std::pow(left.probability, static_cast<double>(rest.size()) / static_cast<double>(text.size()));
  left.text = std::string(rest);
  left.timings = {};
  left.explain.push_back("answered from the suggestion before, because what was typed since follows it");
  return left;
}

}  // namespace lsp
