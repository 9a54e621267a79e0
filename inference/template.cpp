// Cuts the source into texts and tags, then reads the tags' statements into functions that write.
#include "inference/template.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "inference/one_line.h"
#include "inference/template_expression.h"

namespace inference {
namespace {

using Part = Template::Part;

struct Piece {
  enum class Kind { text, expression, statement } kind = Kind::text;
  std::string text;
};

constexpr std::string_view blanks = " \t\r\n\f\v";
constexpr int deepest = 50;  // blocks in blocks
// A conversation of a thousand turns takes a fifth of it; loops in loops could go on for ever.
constexpr std::size_t most_steps = 50'000;

void strip_right(std::string& text) { text.resize(std::min(text.find_last_not_of(blanks) + 1, text.size())); }

// Blanks between the line's start and the tag that follows.
void strip_indent(std::string& text) {
  const std::size_t end = text.find_last_not_of(" \t") + 1;
  if (end == 0 || text[end - 1] == '\n') text.resize(end);
}

// Where the tag that opens before `at` closes; strings inside it may hold what looks like an end.
std::size_t end_of_tag(std::string_view source, std::size_t at, std::string_view closing) {
  char quote = 0;
  for (; at < source.size(); ++at) {
    if (quote) {
      if (source[at] == '\\') ++at;
      else if (source[at] == quote) quote = 0;
    } else if (closing != "#}" && (source[at] == '\'' || source[at] == '"')) {
      quote = source[at];
    } else if (source.substr(at, 2) == closing) {
      return at;
    }
  }
  throw one_line_error("a tag is not closed: it lacks " + std::string(closing));
}

std::vector<Piece> cut(std::string_view source) {
  if (source.ends_with('\n')) source.remove_suffix(1);
  std::vector<Piece> pieces;
  bool strip_next = false, drop_newline = false;
  std::size_t at = 0;
  while (true) {
    std::size_t open = source.find('{', at);
    while (open != std::string_view::npos && (open + 1 == source.size() || std::string_view("{%#").find(source[open + 1]) == std::string_view::npos)) open = source.find('{', open + 1);
    std::string text(source.substr(at, open == std::string_view::npos ? open : open - at));
    if (strip_next) {
      text.erase(0, std::min(text.find_first_not_of(blanks), text.size()));
    } else if (drop_newline && text.starts_with('\n')) {
      text.erase(0, 1);
    }
    if (open == std::string_view::npos) {
      pieces.push_back({Piece::Kind::text, std::move(text)});
      return pieces;
    }
    const char kind = source[open + 1];
    std::size_t start = open + 2;
    const char mark = start < source.size() ? source[start] : ' ';
    if (mark == '-' || mark == '+') ++start;
    if (mark == '-') {
      strip_right(text);
    } else if (kind != '{' && mark != '+') {
      strip_indent(text);
    }
    pieces.push_back({Piece::Kind::text, std::move(text)});
    const std::string_view closing = kind == '{' ? "}}" : kind == '%' ? "%}" : "#}";
    const std::size_t end = end_of_tag(source, start, closing);
    const char last = end > start ? source[end - 1] : ' ';
    strip_next = last == '-';
    drop_newline = kind != '{' && last != '+';
    const std::size_t stop = last == '-' || last == '+' ? end - 1 : end;
    if (kind != '#') pieces.push_back({kind == '{' ? Piece::Kind::expression : Piece::Kind::statement, std::string(source.substr(start, stop - start))});
    at = end + 2;
  }
}

// Reads pieces into parts.
class BlockReader {
 public:
  explicit BlockReader(std::vector<Piece> pieces) : pieces_(std::move(pieces)) {}

  Part all() {
    Part part = block();
    if (at_ < pieces_.size()) fail("there is nothing that it ends");
    return part;
  }

 private:
  [[noreturn]] void fail(const std::string& why) const {
    throw one_line_error("{% " + (at_ < pieces_.size() ? pieces_[at_].text : std::string("end of the template")).substr(0, 100) + " %}: " + why);
  }

  std::string keyword() const {
    const std::string& text = pieces_[at_].text;
    const std::size_t start = std::min(text.find_first_not_of(blanks), text.size());
    return text.substr(start, std::min(text.find_first_of(std::string(blanks), start), text.size()) - start);
  }

  // The statement at hand without its first word.
  ExpressionReader rest() const {
    const std::string& text = pieces_[at_].text;
    return ExpressionReader(std::string_view(text).substr(text.find(keyword()) + keyword().size()));
  }

  // Everything up to a statement that ends or divides the block around it.
  Part block() {
    if (++depth_ > deepest) fail("blocks are nested too deeply");
    std::vector<Part> parts;
    for (; at_ < pieces_.size(); ++at_) {
      const Piece& piece = pieces_[at_];
      if (piece.kind == Piece::Kind::text) {
        if (!piece.text.empty()) parts.emplace_back([text = piece.text](TemplateScope&, std::string& out) { out += text; });
        continue;
      }
      if (piece.kind == Piece::Kind::expression) {
        ExpressionReader reader(piece.text);
        const TemplateExpression value = reader.expression();
        reader.expect_end();
        parts.emplace_back([value](TemplateScope& scope, std::string& out) { out += written(value(scope)); });
        continue;
      }
      const std::string word = keyword();
      if (word == "endif" || word == "else" || word == "elif" || word == "endfor") break;
      if (word == "if") parts.push_back(choice());
      else if (word == "for") parts.push_back(loop());
      else if (word == "set") parts.push_back(assignment());
      else fail("this statement is not known; if, for and set are");
    }
    --depth_;
    return [parts](TemplateScope& scope, std::string& out) {
      for (const Part& part : parts) {
        if (++scope.steps > most_steps || out.size() > largest_text) throw one_line_error("the template does not come to an end");
        part(scope, out);
      }
    };
  }

  void expect_statement(const char* word) {
    if (at_ >= pieces_.size() || keyword() != word) fail(std::string("expected ") + word);
  }

  Part choice() {
    ExpressionReader reader = rest();
    const TemplateExpression condition = reader.expression();
    reader.expect_end();
    ++at_;
    const Part yes = block();
    Part no = [](TemplateScope&, std::string&) {};
    if (at_ < pieces_.size() && keyword() == "elif") {
      if (++depth_ > deepest) fail("blocks are nested too deeply");
      no = choice();  // ends at the endif that is this one's, too
      --depth_;
    } else {
      if (at_ < pieces_.size() && keyword() == "else") {
        ++at_;
        no = block();
      }
      expect_statement("endif");
    }
    return [condition, yes, no](TemplateScope& scope, std::string& out) { (condition(scope).truthy() ? yes : no)(scope, out); };
  }

  Part loop() {
    ExpressionReader reader = rest();
    const std::string item = reader.name();
    reader.expect("in");
    const TemplateExpression list = reader.expression();
    reader.expect_end();
    ++at_;
    const Part body = block();
    expect_statement("endfor");
    return [item, list, body](TemplateScope& scope, std::string& out) {
      const TemplateValue all = list(scope);
      if (!all.truthy()) return;
      const auto* items = std::get_if<std::shared_ptr<TemplateList>>(&all.value);
      if (!items) throw one_line_error("for needs a list");
      const auto count = static_cast<std::int64_t>((*items)->size());
      for (std::int64_t i = 0; i < count; ++i) {
        scope.levels.emplace_back();
        scope.set(item, (**items)[static_cast<std::size_t>(i)]);
        scope.set("loop", make_object({{"index0", {i}}, {"index", {i + 1}}, {"first", {i == 0}}, {"last", {i + 1 == count}}, {"length", {count}}}));
        body(scope, out);
        scope.levels.pop_back();
      }
    };
  }

  Part assignment() {
    ExpressionReader reader = rest();
    const std::string name = reader.name();
    const std::string field = reader.accept(".") ? reader.name() : "";
    reader.expect("=");
    const TemplateExpression value = reader.expression();
    reader.expect_end();
    return [name, field, value](TemplateScope& scope, std::string&) {
      if (field.empty()) return scope.set(name, value(scope));
      const TemplateValue object = scope.get(name);
      const auto* fields = std::get_if<std::shared_ptr<TemplateObject>>(&object.value);
      if (!fields) throw one_line_error("set " + name + "." + field + ": " + name + " is no namespace");
      TemplateValue given = value(scope);
      // One that holds itself would never go away.
      if (std::holds_alternative<std::shared_ptr<TemplateObject>>(given.value)) throw one_line_error("set " + name + "." + field + ": an object cannot be kept there");
      (**fields)[field] = std::move(given);
    };
  }

  std::vector<Piece> pieces_;
  std::size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace

bool TemplateValue::truthy() const {
  switch (value.index()) {
    case 2: return std::get<bool>(value);
    case 3: return std::get<std::int64_t>(value) != 0;
    case 4: return !std::get<std::string>(value).empty();
    case 5: return !std::get<std::shared_ptr<TemplateList>>(value)->empty();
    case 6: return !std::get<std::shared_ptr<TemplateObject>>(value)->empty();
    default: return false;
  }
}

TemplateValue make_list(TemplateList items) { return {std::make_shared<TemplateList>(std::move(items))}; }
TemplateValue make_object(TemplateObject fields) { return {std::make_shared<TemplateObject>(std::move(fields))}; }

Template::Template(std::string_view source) : all_(BlockReader(cut(source)).all()) {}

std::string Template::render(const TemplateObject& variables) const {
  TemplateScope scope;
  scope.levels = {variables, {}};
  std::string out;
  all_(scope, out);
  return out;
}

}  // namespace inference
