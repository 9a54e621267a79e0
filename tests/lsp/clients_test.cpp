// Client profiles: each row is a client as it introduces itself, and what it then gets.
#include "lsp/clients.h"

#include <doctest/doctest.h>

#include <string>

using lsp::ClientProfile;
using lsp::PositionEncoding;
using Lines = ClientProfile::PopupLines;

namespace {

lsp::InitializeParams client(const char* name, const char* version, std::vector<std::string> encodings = {},
                             bool ghost = false, bool snippets = false) {
  lsp::InitializeParams params;
  params.client_name = name;
  params.client_version = version;
  params.capabilities.position_encodings = std::move(encodings);
  params.capabilities.inline_completion = ghost;
  params.capabilities.snippets = snippets;
  return params;
}

lsp::Completion suggestion(const char* text, std::size_t replace_after = 0) {
  lsp::Completion completion;
  completion.text = text;
  completion.replace_after = replace_after;
  return completion;
}

// What the buffer holds once the client has applied the item; `|` marks the cursor in `text`.
struct Cursor {
  explicit Cursor(std::string marked) : offset(marked.find('|')), document(marked.erase(offset, 1), 1) {}
  std::size_t offset;
  context::Document document;

  std::string apply(const lsp::Range& range, const std::string& text, PositionEncoding encoding) const {
    std::string out = document.text();
    const std::size_t start = to_offset(document, range.start, encoding);
    const std::size_t end = to_offset(document, range.end, encoding);
    return out.replace(start, end - start, text);
  }
};

}  // namespace

TEST_CASE("profiles") {
  struct Row {
    lsp::InitializeParams params;
    PositionEncoding encoding;
    Lines lines;
    bool right_range;
  };
  const std::vector<std::string> all = {"utf-8", "utf-16", "utf-32"};
  const Row rows[] = {
      {client("Visual Studio Code", "1.100.3", {"utf-16"}, true, true), PositionEncoding::utf16, Lines::plain, true},
      {client("code-server", "1.100.3", {"utf-16"}, true, true), PositionEncoding::utf16, Lines::plain, true},
      {client("Neovim", "0.7.2"), PositionEncoding::utf16, Lines::one, true},
      {client("Neovim", "0.12.4+v", all, true, true), PositionEncoding::utf8, Lines::snippet, true},
      {client("Neovim", "1.0", all, true, true), PositionEncoding::utf8, Lines::snippet, true},
      {client("Eglot", "1.24", {"utf-32", "utf-8", "utf-16"}), PositionEncoding::utf8, Lines::plain, false},
      {client("helix", "25.07.1", {"utf-8", "utf-32", "utf-16"}, false, true), PositionEncoding::utf8, Lines::one, false},
      {client("IntelliJ IDEA", "2026.1", {"utf-16"}, true, true), PositionEncoding::utf16, Lines::one, false},
      {client("", ""), PositionEncoding::utf16, Lines::one, false},
      {client("odd", "", {"utf-32"}), PositionEncoding::utf32, Lines::one, false},
      {client("odder", "", {"utf-7"}), PositionEncoding::utf16, Lines::one, false},
  };
  for (const Row& row : rows) {
    CAPTURE(row.params.client_name);
    CAPTURE(row.params.client_version);
    const ClientProfile profile = profile_of(row.params);
    CHECK(profile.encoding == row.encoding);
    CHECK(profile.popup_lines == row.lines);
    CHECK(profile.right_range == row.right_range);
  }
}

TEST_CASE("ghost text gives the same buffer whether the client may replace to the right or not") {
  struct Row {
    const char* text;
    const char* suggested;
    std::size_t replace_after;
    const char* replaced;
    const char* inserted;
  };
  const Row rows[] = {
      {"x = |", "1", 0, "x = 1", "x = 1"},
      {"f(|)", "a, b)", 1, "f(a, b)", "f(a, b)"},
      {"f(|)", "g())", 1, "f(g())", "f(g())"},
      {"😀(|);", "a);", 2, "😀(a);", "😀(a);"},
      {"if (|)", "a) {", 1, "if (a) {", "if (a)"},  // what follows the tail cannot be put in front of it
      {"f(|)", ")", 1, "f()", ""},
      {"f(|)", "", 0, "", ""},
  };
  for (const Row& row : rows) {
    CAPTURE(row.text);
    const Cursor cursor(row.text);
    for (const bool right : {true, false}) {
      ClientProfile profile;
      profile.right_range = right;
      const auto items = ghost_text(profile, cursor.document, cursor.offset, {suggestion(row.suggested, row.replace_after)});
      const std::string expected = right ? row.replaced : row.inserted;
      if (expected.empty()) {
        CHECK(items.empty());
        continue;
      }
      REQUIRE(items.size() == 1);
      CHECK(cursor.apply(items[0].range, items[0].insert_text, profile.encoding) == expected);
      if (!right) CHECK(to_offset(cursor.document, items[0].range.end, profile.encoding) == cursor.offset);
    }
  }
}

TEST_CASE("popup items replace the typed word by itself and what follows") {
  struct Row {
    Lines lines;
    const char* text;
    const char* suggested;
    std::size_t replace_after;
    const char* label;
    const char* result;
  };
  const Row rows[] = {
      {Lines::one, "  ret|", "urn x", 0, "return x", "  return x"},
      {Lines::one, "a.|", "b()", 0, "b()", "a.b()"},
      {Lines::one, "größ|", "e", 0, "größe", "größe"},
      {Lines::one, "f(|)", "x)", 1, "x)", "f(x)"},
      {Lines::one, "if x:|", "\n    y()", 0, "", ""},
      {Lines::one, "d|", "ef f():\n    pass", 0, "def f():", "def f():"},
      {Lines::plain, "d|", "ef f():\n    pass", 0, "def f():", "def f():\n    pass"},
      {Lines::plain, "if x:|", "\n    y()", 0, "y()", "if x:\n    y()"},
      {Lines::snippet, "d|", "ef $f():\n    {}", 0, "def $f():", "def \\$f():\n    {\\}"},
      {Lines::snippet, "d|", "ef $f()", 0, "def $f()", "def $f()"},
      {Lines::plain, "x|", "", 0, "", ""},
      {Lines::plain, "x|", " \n ", 0, "", ""},
  };
  for (const Row& row : rows) {
    CAPTURE(row.text);
    CAPTURE(row.suggested);
    const Cursor cursor(row.text);
    ClientProfile profile;
    profile.popup_lines = row.lines;
    const auto items = popup_items(profile, cursor.document, cursor.offset, suggestion(row.suggested, row.replace_after));
    if (std::string(row.result).empty()) {
      CHECK(items.empty());
      continue;
    }
    REQUIRE(items.size() == 1);
    CHECK(items[0].label == row.label);
    CHECK(cursor.apply(items[0].range, items[0].new_text, profile.encoding) == row.result);
    // Neovim 0.7 and the protocol want these.
    CHECK(items[0].range.start.line == items[0].range.end.line);
    CHECK(items[0].label.find('\n') == std::string::npos);
  }
}

TEST_CASE("snippet text is escaped as the protocol says") {
  CHECK(lsp::escape_snippet("a$b}{\\c") == "a\\$b\\}{\\\\c");
}

TEST_CASE("both numberings of trigger kinds") {
  lsp::TriggerKinds draft;
  CHECK_FALSE(draft.is_explicit(std::nullopt));
  CHECK(draft.is_explicit(1));
  CHECK(draft.is_explicit(0));
  CHECK_FALSE(draft.is_explicit(1));
  lsp::TriggerKinds final_;
  CHECK_FALSE(final_.is_explicit(2));
  CHECK(final_.is_explicit(1));
}
