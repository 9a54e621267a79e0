// Compares the text around two cursors.
#include "lsp/recall.h"

#include <cmath>
#include <string>
#include <string_view>
#include <utility>

namespace lsp {

std::vector<Completion> recall(const Suggestion& last, const context::Document& document, std::size_t offset, bool explicit_request) {
  const std::string_view before = last.document->text();
  const std::string_view now = document.text();
  if (offset < last.offset || offset > now.size() || (explicit_request && !last.explicit_request)) return {};
  const std::string_view typed = now.substr(last.offset, offset - last.offset);
  if (now.substr(0, last.offset) != before.substr(0, last.offset)) return {};
  if (now.substr(offset) != before.substr(last.offset)) return {};
  std::vector<Completion> all_left;
  for (const Completion& completion : last.completions) {
    // Where no model ran, settings or the model's state were the reason, and those change.
    if (completion.finish_reason == "off") continue;
    const std::string_view text = completion.text;
    if (text.substr(0, typed.size()) != typed || typed.size() > text.size()) continue;
    // What remains must be worth showing, except where nothing was asked again and there was nothing to show.
    const std::string_view rest = text.substr(typed.size());
    const bool blank = rest.find_first_not_of(" \t\r\n") == std::string_view::npos;
    if (blank && !typed.empty()) continue;
    Completion left = completion;
    // Every byte that was typed along speaks for the rest, as if the doubt were spread evenly.
    if (!text.empty()) left.probability = std::pow(left.probability, static_cast<double>(rest.size()) / static_cast<double>(text.size()));
    left.text = std::string(rest);
    left.timings = {};
    left.explain.push_back("answered from the suggestion before, because what was typed since follows it");
    all_left.push_back(std::move(left));
  }
  return all_left;
}

}  // namespace lsp
