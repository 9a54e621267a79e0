// A small reader of brackets, strings and comments for the nine languages.
#include "context/lex.h"

#include <string>

namespace context {

namespace {

class Reader {
 public:
  Reader(Language language, std::string_view text) : language_(language), text_(text) {}

  Lexed run() {
    while (at_ < text_.size()) {
      code();
    }
    return std::move(result_);
  }

 private:
  bool is(Language a) const { return language_ == a; }
  bool script() const { return is(Language::javascript) || is(Language::typescript) || is(Language::tsx); }
  bool follows(std::string_view what) const { return text_.compare(at_, what.size(), what) == 0; }
  char before() const { return at_ == 0 ? '\n' : text_[at_ - 1]; }

  void code() {
    const char c = text_[at_];
    switch (c) {
      case '(': case '[': case '{':
        result_.open.push_back({c, at_++});
        return;
      case ')': case ']': case '}':
        close(c);
        return;
      case '"': case '\'': case '`':
        quote(c);
        return;
      case '#':
        return is(Language::python) ? line_comment() : void(++at_);
      case '/':
        return slash();
      case '\n':
        drop_single_line_interpolations();
        ++at_;
        return;
      default:
        ++at_;
    }
  }

  void close(char c) {
    const char partner = c == ')' ? '(' : c == ']' ? '[' : '{';
    std::vector<Bracket>& open = result_.open;
    // Inner brackets that were left open end with the one around them. Only a "}" may end a "{": a stray ")" in a block
    // says nothing about the block.
    std::size_t match = open.size();
    while (match > 0 && open[match - 1].kind != partner && !open[match - 1].interpolation &&
           (c == '}' || open[match - 1].kind != '{')) {
      --match;
    }
    const bool found = match > 0 && open[match - 1].kind == partner;
    if (!found) {
      result_.stray.push_back({c, at_++});
      return;
    }
    const Bracket closed = open[match - 1];
    result_.pairs.emplace_back(closed.offset, at_);
    result_.left_open += open.size() - match;
    open.resize(match - 1);
    ++at_;
    if (closed.interpolation) {
      string(closed.quote, closed.triple, true, true, at_);
    }
  }

  void line_comment() {
    const std::size_t end = text_.find('\n', at_);
    if (end == std::string_view::npos) {
      result_.mode = LexMode::line_comment;
      result_.mode_start = at_;
      at_ = text_.size();
    } else {
      at_ = end;
    }
  }

  void slash() {
    if (is(Language::python) || is(Language::none)) {
      ++at_;
    } else if (follows("//")) {
      line_comment();
    } else if (follows("/*")) {
      const std::size_t end = text_.find("*/", at_ + 2);
      if (end == std::string_view::npos) {
        result_.mode = LexMode::block_comment;
        result_.mode_start = at_;
        at_ = text_.size();
      } else {
        at_ = end + 2;
      }
    } else if (!(script() && regular_expression())) {
      ++at_;
    }
  }

  // In JavaScript a slash opens a regular expression where a value may start. It must close on its line; else it divides.
  bool regular_expression() {
    std::size_t i = at_;
    while (i > 0 && (text_[i - 1] == ' ' || text_[i - 1] == '\t')) {
      --i;
    }
    if (i > 0 && std::string_view("=(,:[!&|?{};\n+").find(text_[i - 1]) == std::string_view::npos &&
        !(i >= 6 && text_.substr(i - 6, 6) == "return")) {
      return false;
    }
    bool in_class = false;
    for (std::size_t end = at_ + 1; end < text_.size() && text_[end] != '\n'; ++end) {
      const char c = text_[end];
      if (c == '\\') {
        ++end;
      } else if (c == '[' || c == ']') {
        in_class = c == '[';
      } else if (c == '/' && !in_class) {
        at_ = end + 1;
        return true;
      }
    }
    return false;
  }

  void quote(char c) {
    const std::size_t start = at_;
    if (is(Language::none)) {
      ++at_;
      return;
    }
    if (c == '`' && !script() && !is(Language::go)) {
      ++at_;
      return;
    }
    if (c == '\'' && !is(Language::python) && apostrophe()) {
      ++at_;
      return;
    }
    if ((is(Language::rust) || is(Language::cpp)) && c == '"' && raw_string()) {
      return;
    }
    const bool may_triple = is(Language::python) || (is(Language::java) && c == '"');
    const bool triple = may_triple && text_.size() - at_ >= 3 && text_[at_ + 1] == c && text_[at_ + 2] == c;
    at_ += triple ? 3 : 1;
    string(c, triple, (script() && c == '`') || (is(Language::python) && string_prefix(start, "fFtT")),
           !(is(Language::go) && c == '`'), start);
  }

  // True for an apostrophe that opens no literal: a Rust lifetime, a C++ digit separator, "don't" in JSX text.
  bool apostrophe() const {
    if (is(Language::rust)) {
      const bool starts_name = at_ + 1 < text_.size() && is_word(text_[at_ + 1]) &&
                               static_cast<unsigned char>(text_[at_ + 1]) < 0x80;
      return starts_name && (at_ + 2 >= text_.size() || text_[at_ + 2] != '\'');
    }
    if (script()) {
      return is_word(before());
    }
    return before() >= '0' && before() <= '9';
  }

  bool string_prefix(std::size_t quote_at, std::string_view letters) const {
    std::size_t i = quote_at;
    bool found = false;
    while (i > 0 && quote_at - i < 2 && is_word(text_[i - 1])) {
      --i;
      found = found || letters.find(text_[i]) != std::string_view::npos;
    }
    return found && (i == 0 || !is_word(text_[i - 1]));
  }

  // r"..", r#".."#, br".."; R"tag(..)tag". They know no escapes and may span lines.
  bool raw_string() {
    const std::size_t start = at_;
    std::string closing;
    if (is(Language::rust)) {
      std::size_t hashes = 0;
      while (hashes < at_ && text_[at_ - 1 - hashes] == '#') {
        ++hashes;
      }
      if (hashes == at_ || text_[at_ - 1 - hashes] != 'r') {
        return false;
      }
      closing = "\"" + std::string(hashes, '#');
    } else {
      const std::size_t paren = text_.find('(', at_);
      if (before() != 'R' || paren == std::string_view::npos || paren - at_ > 17) {
        return false;
      }
      closing = ")" + std::string(text_.substr(at_ + 1, paren - at_ - 1)) + "\"";
    }
    const std::size_t end = text_.find(closing, at_ + 1);
    if (end == std::string_view::npos) {
      end_in_string(start);
    } else {
      at_ = end + closing.size();
    }
    return true;
  }

  void end_in_string(std::size_t start) {
    result_.mode = LexMode::string;
    result_.mode_start = start;
    at_ = text_.size();
  }

  // Reads on to the closing quote; `at_` stands behind the opening one, or behind an interpolation.
  void string(char c, bool triple, bool interpolates, bool escapes, std::size_t start) {
    const bool one_line = !triple && c != '`' && !is(Language::rust);
    while (at_ < text_.size()) {
      const char here = text_[at_];
      if (here == '\\' && escapes) {
        at_ += 2;
      } else if (here == '\n' && one_line) {
        return;  // never closed: what follows is code again
      } else if (here == c && (!triple || follows(std::string(3, c)))) {
        at_ += triple ? 3 : 1;
        return;
      } else if (interpolates && c == '`' && follows("${")) {
        result_.open.push_back({'{', at_ + 1, true, c, triple});
        at_ += 2;
        return;
      } else if (interpolates && c != '`' && here == '{') {
        if (follows("{{")) {
          at_ += 2;
          continue;
        }
        result_.open.push_back({'{', at_, true, c, triple});
        ++at_;
        return;
      } else {
        ++at_;
      }
    }
    end_in_string(start);
  }

  // `f"{a` that was never closed does not reach into the next line.
  void drop_single_line_interpolations() {
    for (std::size_t i = 0; i < result_.open.size(); ++i) {
      const Bracket& bracket = result_.open[i];
      if (bracket.interpolation && bracket.quote != '`' && !bracket.triple) {
        result_.open.resize(i);
        return;
      }
    }
  }

  const Language language_;
  const std::string_view text_;
  std::size_t at_ = 0;
  Lexed result_;
};

}  // namespace

Lexed lex(Language language, std::string_view text) { return Reader(language, text).run(); }

}  // namespace context
