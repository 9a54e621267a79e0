// Writes a test for a function into the file that the language's habit wants it in; the model fills the frame.
#include <algorithm>
#include <cctype>
#include <utility>

#include "context/enclosure.h"
#include "context/function.h"
#include "lsp/actions/parts.h"
#include "lsp/actions/imports.h"
#include "lsp/actions/test_frame.h"

namespace lsp {
namespace {

using context::Language;

Complaint calls(const std::string& name) {
  return [name](const std::string& text, std::size_t start, std::size_t end) {
    return context::has_word(std::string_view(text).substr(start, end - start), name) ? std::string() : "it does not call " + name;
  };
}

// Where the next test of an existing file goes: in front of its closing frame, or at its end.
std::size_t place_in(Language language, const std::string& text) {
  const char* last = language == Language::python ? "\nif __name__" : language == Language::c || language == Language::cpp ? "\nint main(" : "";
  std::size_t at = *last ? text.rfind(last) : std::string::npos;
  at = at == std::string::npos ? text.size() : at;
  while (at > 0 && (text[at - 1] == '\n' || text[at - 1] == '\r')) --at;
  return at;
}

}  // namespace

ActionResult add_tests(const ModelPort& model, const ActionPlace& place, const context::SyntaxTree& tree, const FillOptions& given,
                       const ReadFile& read_file, std::stop_token stop) {
  ActionResult out;
  const auto function = context::function_at(*place.document, tree, place.start);
  if (!function) {
    out.explain.push_back("the text has changed, and there is no function here any more");
    return out;
  }
  const TestFrame frame = test_frame(place.language, place.file, place.document->text(), *function, read_file);
  const bool in_place = frame.file.empty();
  const auto existing = in_place ? std::optional(place.document->text()) : read_file ? read_file(frame.file) : std::nullopt;

  // A new file is its frame with a hole in it; an old one gets the hole behind its last test.
  const std::string text = existing ? *existing : frame.head + frame.tail;
  Hole hole;
  hole.document = std::make_shared<const context::Document>(text, 1);
  hole.language = place.language;
  hole.path = in_place ? place.path : folder_of(place.path) + file_name(frame.file);
  hole.start = hole.end = existing ? place_in(place.language, text) : frame.head.size();
  const bool behind_code = existing && !in_place;
  const std::string imports = behind_code && place.language == Language::python && !context::has_word(text, function->type.empty() ? function->name : function->type)
                                  ? "from " + file_stem(place.file) + " import " + (function->type.empty() ? function->name : function->type) + "\n\n\n"
                                  : "";
  hole.before = (behind_code ? (place.language == Language::python ? "\n\n\n" : "\n\n") : "") + imports + frame.open;
  hole.after = frame.close;
  hole.openings = frame.openings;
  hole.wish = "Write a test of " + function->name + " that calls " + frame.call + ".";
  FillOptions options = given;
  // The frame's own imports are right by construction; what the model adds is held against the file it tests.
  options.complaints = {unknown_imports(place.language, place.file, place.document->text() + "\n" + frame.head + imports + text, read_file)};
  options.complaints.push_back(calls(frame.call));
  if (!in_place) options.others.push_back({place.path, place.document});
  ActionResult filled = fill_in_place(model, hole, options, "tests", std::move(stop));
  if (filled.changes.empty()) return filled;
  FileChange& change = filled.changes.front();
  change.file = frame.file;
  change.create = !existing;
  if (!existing) change.changes = {{0, 0, frame.head + filled.text + frame.tail}};
  filled.explain.push_back(in_place ? "the test stands behind the code" : "the test is in " + file_name(frame.file));
  return filled;
}

}  // namespace lsp
