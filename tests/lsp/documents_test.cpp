// Open buffers: random edit sessions end with the client's text, and clients that contradict themselves do no harm.
#include "lsp/documents.h"

#include <doctest/doctest.h>

#include <random>
#include <string>
#include <vector>

using lsp::ContentChange;
using lsp::Documents;
using lsp::Position;
using lsp::PositionEncoding;
using lsp::Range;

namespace {

std::string utf8(char32_t c) {
  std::string out;
  const auto add = [&](char32_t bits) { out += static_cast<char>(bits); };
  if (c < 0x80) {
    add(c);
  } else if (c < 0x800) {
    add(0xC0 | (c >> 6)), add(0x80 | (c & 63));
  } else if (c < 0x10000) {
    add(0xE0 | (c >> 12)), add(0x80 | ((c >> 6) & 63)), add(0x80 | (c & 63));
  } else {
    add(0xF0 | (c >> 18)), add(0x80 | ((c >> 12) & 63)), add(0x80 | ((c >> 6) & 63)), add(0x80 | (c & 63));
  }
  return out;
}

// The client, written without any of loopd's code: its text is code points, and a position is counted in the units that
// the client would count.
struct Client {
  std::u32string text;
  PositionEncoding encoding;

  std::size_t units(char32_t c) const {
    if (encoding == PositionEncoding::utf8) return utf8(c).size();
    return encoding == PositionEncoding::utf16 && c >= 0x10000 ? 2 : 1;
  }
  Position position(std::size_t index) const {
    Position at;
    for (std::size_t i = 0; i < index; ++i) {
      const bool line_feed = text[i] == U'\n';
      const bool lone_return = text[i] == U'\r' && (i + 1 == text.size() || text[i + 1] != U'\n');
      if (line_feed || lone_return) {
        at = {at.line + 1, 0};
      } else {
        at.character += static_cast<std::uint32_t>(units(text[i]));
      }
    }
    return at;
  }
  // No position lies between "\r" and "\n", nor does any editor let a cursor stand there.
  std::size_t pick(std::mt19937& random) const {
    std::size_t index = random() % (text.size() + 1);
    if (index > 0 && index < text.size() && text[index - 1] == U'\r' && text[index] == U'\n') --index;
    return index;
  }
  std::string bytes() const {
    std::string out;
    for (const char32_t c : text) out += utf8(c);
    return out;
  }
};

std::u32string random_text(std::mt19937& random, std::size_t most) {
  static const std::u32string pieces[] = {U"a", U"Z", U" ", U"\t", U"\n", U"\r\n", U"\n", U"ü", U"€", U"😀", U"𝒳", U"def f():\n", U"{", U"}", U"\""};
  std::u32string text;
  for (std::size_t count = random() % (most + 1); count > 0; --count) text += pieces[random() % std::size(pieces)];
  return text;
}

// A "\r" that an edit separates from its "\n", or joins to one, is kept away from: editors normalise line ends.
bool touches_line_end(const std::u32string& text, std::size_t start, std::size_t end, const std::u32string& inserted) {
  const auto at = [&](std::size_t i) { return i < text.size() ? text[i] : U'\0'; };
  const bool before = start > 0 && text[start - 1] == U'\r';
  const bool behind = at(end) == U'\n';
  const char32_t first = inserted.empty() ? at(end) : inserted.front();
  const char32_t last = inserted.empty() ? (start > 0 ? text[start - 1] : U'\0') : inserted.back();
  return (before && first == U'\n') || (behind && last == U'\r');
}

struct Fixture {
  std::vector<std::string> logged;
  Documents documents{PositionEncoding::utf16, [this](const std::string& line) { logged.push_back(line); }};

  void open(const std::string& text, const std::string& uri = "file:///a.py") { documents.open({uri, "python", 1, text}); }
  const std::string& text(const std::string& uri = "file:///a.py") { return documents.find(uri)->document->text(); }
};

}  // namespace

TEST_CASE("a thousand random edit sessions end with the client's text") {
  for (unsigned session = 0; session < 1000; ++session) {
    std::mt19937 random(session);
    Fixture f;
    Client client{random_text(random, 60), session % 2 == 0 ? PositionEncoding::utf16 : PositionEncoding::utf8};
    f.documents.set_encoding(client.encoding);
    const char* language = session % 3 == 0 ? "python" : session % 3 == 1 ? "typescript" : "plaintext";
    f.documents.open({"file:///x", language, 0, client.bytes()});
    std::int64_t version = 0;
    for (int message = 0; message < 12; ++message) {
      version += 1 + random() % 5;
      lsp::ChangeParams params{"file:///x", version, {}};
      for (std::size_t count = 1 + random() % 4; count > 0; --count) {
        if (random() % 20 == 0) {
          client.text = random_text(random, 60);
          params.changes.push_back({std::nullopt, client.bytes()});
          continue;
        }
        std::size_t start = client.pick(random);
        std::size_t end = random() % 2 == 0 ? start : client.pick(random);
        if (end < start) std::swap(start, end);
        const std::u32string inserted = random_text(random, 4);
        if (touches_line_end(client.text, start, end, inserted)) continue;
        Client written{inserted, client.encoding};
        params.changes.push_back({Range{client.position(start), client.position(end)}, written.bytes()});
        client.text.replace(start, end - start, inserted);
      }
      f.documents.change(params);
    }
    CAPTURE(session);
    REQUIRE(f.documents.find("file:///x")->document->text() == client.bytes());
    CHECK(f.documents.find("file:///x")->document->version() == version);
    CHECK(f.logged.empty());
  }
}

TEST_CASE("the tree follows the text") {
  Fixture f;
  f.open("x = 1\n");
  f.documents.change({"file:///a.py", 2, {{Range{{0, 4}, {0, 5}}, "foo("}, {Range{{0, 8}, {0, 8}}, ")"}}});
  CHECK(f.text() == "x = foo()\n");
  const auto parsed = f.documents.find("file:///a.py")->syntax->parsed();
  CHECK(parsed.document == f.documents.find("file:///a.py")->document);
  CHECK(context::count_errors(*parsed.tree, 0, 10) == 0);
  CHECK(f.documents.find("file:///a.py")->last_edit == 9);
}

TEST_CASE("contradictions are logged and never fatal") {
  Fixture f;
  f.documents.change({"file:///a.py", 2, {{std::nullopt, "x"}}});
  CHECK(f.logged.size() == 1);
  f.documents.close("file:///a.py");
  CHECK(f.logged.size() == 2);
  CHECK(f.documents.find("file:///a.py") == nullptr);
  f.open("abc");
  f.open("def");
  CHECK(f.logged.size() == 3);
  CHECK(f.text() == "def");
  f.documents.change({"file:///a.py", 1, {{Range{{0, 0}, {0, 0}}, "1"}}});
  CHECK(f.logged.size() == 4);
  CHECK(f.text() == "1def");
  f.documents.change({"file:///a.py", 7, {{Range{{0, 3}, {0, 1}}, "-"}}});
  CHECK(f.logged.size() == 5);
  CHECK(f.text() == "1-f");
  f.documents.change({"file:///a.py", 8, {{Range{{90, 90}, {99, 99}}, "!"}}});
  CHECK(f.logged.size() == 6);
  CHECK(f.text() == "1-f!");
  f.documents.change({"file:///a.py", std::nullopt, {}});
  CHECK(f.logged.size() == 6);
}

TEST_CASE("half a surrogate pair as a position means the character's start") {
  Fixture f;
  f.open("a😀b");
  f.documents.change({"file:///a.py", 2, {{Range{{0, 2}, {0, 2}}, "x"}}});
  CHECK(f.text() == "ax😀b");
}

TEST_CASE("others are all but the document itself, the most recently touched last") {
  Fixture f;
  for (const char* uri : {"file:///a", "file:///b", "file:///c"}) f.open("", uri);
  f.documents.change({"file:///a", 2, {{std::nullopt, "x"}}});
  std::string order;
  for (const auto* other : f.documents.others("file:///c")) order += other->uri + " ";
  CHECK(order == "file:///b file:///a ");
  f.documents.close("file:///b");
  CHECK(f.documents.others("file:///c").size() == 1);
}

TEST_CASE("URIs become paths, and languages come from the id or the suffix") {
  CHECK(lsp::path_of("file:///a/b%20c/%C3%BC.py") == "/a/b c/ü.py");
  CHECK(lsp::path_of("file://host/a") == "/a");
  CHECK(lsp::path_of("file:///c%3A/x%2") == "/c:/x%2");
  CHECK(lsp::path_of("untitled:Untitled-1") == "untitled:Untitled-1");
  CHECK(lsp::path_of("file://") == "file://");
  Fixture f;
  const std::tuple<const char*, const char*, context::Language> rows[] = {
      {"file:///a.cc", "c++", context::Language::cpp},
      {"file:///a.py", "", context::Language::python},
      {"untitled:1", "rust", context::Language::rust},
      {"file:///notes.txt", "plaintext", context::Language::none},
  };
  for (const auto& [uri, id, expected] : rows) {
    f.documents.open({uri, id, 1, ""});
    CHECK(f.documents.find(uri)->language == expected);
  }
}

TEST_CASE("the cursor is probably where the last edit ends, in front of what the editor added") {
  struct Case {
    const char* inserted;
    std::size_t cursor;
  };
  for (const Case& one : {Case{"a", 1}, Case{"()", 1}, Case{"\"\"", 1}, Case{"(a)", 3}, Case{"\n    \n", 5}, Case{"\r\n  \r\n", 4},
                          Case{"\n    ", 5}, Case{"a\nb\n", 4}, Case{"\n", 1}}) {
    INFO(one.inserted);
    Documents documents(PositionEncoding::utf8, [](const std::string&) {});
    documents.open({"file:///a.c", "c", 1, std::string(2000, 'x')});
    CHECK(documents.find("file:///a.c")->last_edit == 0);
    documents.change({"file:///a.c", 2, {{Range{{0, 7}, {0, 7}}, one.inserted}}});
    CHECK(documents.find("file:///a.c")->last_edit == 7 + one.cursor);
    documents.close("file:///a.c");
    documents.open({"file:///a.c", "c", 3, std::string(2000, 'x')});
    CHECK(documents.find("file:///a.c")->last_edit == 7 + one.cursor);
  }
}
