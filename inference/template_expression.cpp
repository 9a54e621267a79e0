// Words, then one function a level of binding, loosest first; each returns what computes the value.
#include "inference/template_expression.h"

#include <algorithm>
#include <cctype>
#include <stdexcept>
#include <utility>

#include "inference/one_line.h"

namespace inference {
namespace {

using Expression = TemplateExpression;
using Scope = TemplateScope;
using Value = TemplateValue;
using Arguments = std::vector<std::pair<std::string, Value>>;

bool is_name(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

constexpr std::size_t longest_list = 10'000;

const std::string* as_text(const Value& value) { return std::get_if<std::string>(&value.value); }

std::string text_of(const Value& value, const char* what) {
  if (const std::string* text = as_text(value)) return *text;
  throw one_line_error(std::string(what) + " needs a string");
}

std::string stripped(const std::string& text, bool left = true, bool right = true) {
  constexpr const char* blanks = " \t\r\n\f\v";
  const std::size_t first = left ? std::min(text.find_first_not_of(blanks), text.size()) : 0;
  const std::size_t last = right ? text.find_last_not_of(blanks) : text.size() - 1;
  return last == std::string::npos || last + 1 < first ? "" : text.substr(first, last + 1 - first);
}

std::string changed(std::string text, int (*change)(int)) {
  for (char& c : text) c = static_cast<char>(change(static_cast<unsigned char>(c)));
  return text;
}

std::int64_t length_of(const Value& value) {
  if (const std::string* text = as_text(value)) return std::count_if(text->begin(), text->end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
  if (const auto* list = std::get_if<std::shared_ptr<TemplateList>>(&value.value)) return static_cast<std::int64_t>((*list)->size());
  if (const auto* object = std::get_if<std::shared_ptr<TemplateObject>>(&value.value)) return static_cast<std::int64_t>((*object)->size());
  throw one_line_error("length needs a string, a list or an object");
}

// value.name, value["name"] and value[number].
Value item_of(const Value& of, const Value& key) {
  if (const auto* object = std::get_if<std::shared_ptr<TemplateObject>>(&of.value)) {
    const std::string* name = as_text(key);
    const auto found = name ? (*object)->find(*name) : (*object)->end();
    return found == (*object)->end() ? Value{} : found->second;
  }
  if (const auto* list = std::get_if<std::shared_ptr<TemplateList>>(&of.value)) {
    const std::int64_t* at = std::get_if<std::int64_t>(&key.value);
    const auto size = static_cast<std::int64_t>((*list)->size());
    if (!at || *at >= size || *at < -size) return {};
    return (**list)[static_cast<std::size_t>(*at < 0 ? *at + size : *at)];
  }
  if (std::holds_alternative<std::monostate>(of.value)) throw one_line_error("a field is read of something that is not defined");
  return {};
}

Value slice_of(const Value& of, const Value& from, const Value& to) {
  const auto bound = [](const Value& given, std::int64_t otherwise, std::int64_t size) {
    const std::int64_t* at = std::get_if<std::int64_t>(&given.value);
    const std::int64_t place = at ? (*at < 0 ? *at + size : *at) : otherwise;
    return std::clamp<std::int64_t>(place, 0, size);
  };
  const auto* list = std::get_if<std::shared_ptr<TemplateList>>(&of.value);
  if (!list) throw one_line_error("[a:b] needs a list");
  const auto size = static_cast<std::int64_t>((*list)->size());
  const std::int64_t first = bound(from, 0, size), last = std::max(first, bound(to, size, size));
  return make_list({(*list)->begin() + first, (*list)->begin() + last});
}

bool equal(const Value& a, const Value& b) { return a.value == b.value; }

bool contains(const Value& part, const Value& whole) {
  if (const std::string* text = as_text(whole)) return text->find(text_of(part, "in")) != std::string::npos;
  if (const auto* list = std::get_if<std::shared_ptr<TemplateList>>(&whole.value)) {
    return std::any_of((*list)->begin(), (*list)->end(), [&](const Value& one) { return equal(one, part); });
  }
  if (const auto* object = std::get_if<std::shared_ptr<TemplateObject>>(&whole.value)) return (*object)->contains(text_of(part, "in"));
  throw one_line_error("in needs a string, a list or an object");
}

Value joined(const std::string& a, const std::string& b) {
  if (a.size() + b.size() > largest_text) throw one_line_error("a text gets too long");
  return {a + b};
}

Value sum(const Value& a, const Value& b) {
  const std::int64_t *left = std::get_if<std::int64_t>(&a.value), *right = std::get_if<std::int64_t>(&b.value);
  // Wraps around, as whole numbers of this size do.
  if (left && right) return {static_cast<std::int64_t>(static_cast<std::uint64_t>(*left) + static_cast<std::uint64_t>(*right))};
  const auto *first = std::get_if<std::shared_ptr<TemplateList>>(&a.value), *second = std::get_if<std::shared_ptr<TemplateList>>(&b.value);
  if (first && second) {
    if ((*first)->size() + (*second)->size() > longest_list) throw one_line_error("a list gets too long");
    TemplateList all = **first;
    all.insert(all.end(), (*second)->begin(), (*second)->end());
    return make_list(std::move(all));
  }
  return joined(text_of(a, "+"), text_of(b, "+"));
}

std::int64_t number_of(const Value& value) {
  if (const std::int64_t* number = std::get_if<std::int64_t>(&value.value)) return *number;
  throw one_line_error("a number is needed");
}

Value call(const std::string& name, const Arguments& arguments) {
  if (name == "namespace") {
    TemplateObject fields;
    for (const auto& [field, value] : arguments) fields[field] = value;
    return make_object(std::move(fields));
  }
  if (name == "raise_exception") throw one_line_error("the template says: " + (arguments.empty() ? std::string() : written(arguments[0].second)));
  throw one_line_error("the function " + name + " is not known");
}

Value method(const Value& of, const std::string& name, const Arguments& arguments) {
  const auto* object = std::get_if<std::shared_ptr<TemplateObject>>(&of.value);
  if (object && name == "get" && !arguments.empty()) {
    const Value found = item_of(of, arguments[0].second);
    if (!std::holds_alternative<std::monostate>(found.value)) return found;
    return arguments.size() > 1 ? arguments[1].second : Value{nullptr};
  }
  const std::string* text = as_text(of);
  const std::string first = arguments.empty() || !as_text(arguments[0].second) ? "" : *as_text(arguments[0].second);
  if (text && arguments.empty()) {
    if (name == "strip") return {stripped(*text)};
    if (name == "lstrip") return {stripped(*text, true, false)};
    if (name == "rstrip") return {stripped(*text, false, true)};
    if (name == "upper") return {changed(*text, std::toupper)};
    if (name == "lower") return {changed(*text, std::tolower)};
  }
  if (text && arguments.size() == 1) {
    if (name == "startswith") return {text->starts_with(first)};
    if (name == "endswith") return {text->ends_with(first)};
  }
  throw one_line_error("the method " + name + " is not known");
}

Value filter(const Value& of, const std::string& name, const Arguments& arguments) {
  if (name == "trim") return {stripped(text_of(of, "trim"))};
  if (name == "length" || name == "count") return {length_of(of)};
  if (name == "upper") return {changed(text_of(of, "upper"), std::toupper)};
  if (name == "lower") return {changed(text_of(of, "lower"), std::tolower)};
  if (name == "string") return {written(of)};
  if (name == "default" && !arguments.empty()) return std::holds_alternative<std::monostate>(of.value) ? arguments[0].second : of;
  throw one_line_error("the filter " + name + " is not known");
}

bool test(const Value& of, const std::string& name) {
  const std::size_t kind = of.value.index();
  if (name == "defined") return kind != 0;
  if (name == "undefined") return kind == 0;
  if (name == "none") return kind == 1;
  if (name == "boolean") return kind == 2;
  if (name == "true") return kind == 2 && of.truthy();
  if (name == "false") return kind == 2 && !of.truthy();
  if (name == "number" || name == "integer") return kind == 3;
  if (name == "string") return kind == 4;
  if (name == "sequence" || name == "iterable") return kind >= 4;
  if (name == "mapping") return kind == 6;
  throw one_line_error("the test " + name + " is not known");
}

// An expression is read, and computed, by functions that call themselves; a file may not say how deep the stack gets.
constexpr std::size_t most_words = 2000;
constexpr int deepest = 100;

struct Deeper {
  explicit Deeper(int& given) : depth(given) {
    if (++depth > deepest) throw one_line_error("an expression is nested too deeply");
  }
  ~Deeper() { --depth; }
  Deeper(const Deeper&) = delete;
  Deeper& operator=(const Deeper&) = delete;
  int& depth;
};

Arguments values(const std::vector<std::pair<std::string, Expression>>& given, Scope& scope) {
  Arguments all;
  for (const auto& [name, expression] : given) all.emplace_back(name, expression(scope));
  return all;
}

}  // namespace

TemplateValue TemplateScope::get(const std::string& name) const {
  for (auto level = levels.rbegin(); level != levels.rend(); ++level) {
    const auto found = level->find(name);
    if (found != level->end()) return found->second;
  }
  return {};
}

std::string written(const TemplateValue& value) {
  if (const std::string* text = as_text(value)) return *text;
  if (const std::int64_t* number = std::get_if<std::int64_t>(&value.value)) return std::to_string(*number);
  if (const bool* yes = std::get_if<bool>(&value.value)) return *yes ? "True" : "False";
  if (std::holds_alternative<std::monostate>(value.value)) return "";
  if (std::holds_alternative<std::nullptr_t>(value.value)) return "None";
  throw one_line_error("a list or an object cannot be written");
}

ExpressionReader::ExpressionReader(std::string_view source) : source_(source) {
  for (std::size_t i = 0; i < source.size();) {
    const char c = source[i];
    if (std::isspace(static_cast<unsigned char>(c))) {
      ++i;
      continue;
    }
    Word word;
    if (c == '\'' || c == '"') {
      word.kind = Word::Kind::text;
      for (++i; i < source.size() && source[i] != c; ++i) {
        if (source[i] != '\\' || i + 1 == source.size()) {
          word.text += source[i];
          continue;
        }
        const char escaped = source[++i];
        if (escaped == 'x' || escaped == 'u' || escaped == 'N') fail("a plain string");
        word.text += escaped == 'n' ? '\n' : escaped == 't' ? '\t' : escaped == 'r' ? '\r' : escaped;
      }
      if (i++ >= source.size()) fail("the end of a string");
    } else if (is_name(c)) {
      const std::size_t start = i;
      while (i < source.size() && is_name(source[i])) ++i;
      word.kind = std::isdigit(static_cast<unsigned char>(c)) ? Word::Kind::number : Word::Kind::name;
      word.text = source.substr(start, i - start);
      if (word.kind == Word::Kind::number && (word.text.size() > 15 || word.text.find_first_not_of("0123456789") != std::string::npos)) fail("a number");
    } else {
      word.kind = Word::Kind::sign;
      const std::string_view two = source.substr(i, 2);
      word.text = two == "==" || two == "!=" || two == "<=" || two == ">=" ? two : source.substr(i, 1);
      i += word.text.size();
    }
    words_.push_back(std::move(word));
  }
  words_.emplace_back();
  if (words_.size() > most_words) throw one_line_error("an expression is too long");
}

void ExpressionReader::fail(const std::string& wanted) const {
  throw one_line_error("\"" + source_.substr(0, 200) + "\": expected " + wanted + (words_.empty() || at_ >= words_.size() || next().text.empty() ? "" : " at \"" + next().text + "\""));
}

bool ExpressionReader::accept(std::string_view word) {
  if (next().kind == Word::Kind::text || next().text != word || word.empty()) return false;
  ++at_;
  return true;
}

void ExpressionReader::expect(std::string_view word) {
  if (!accept(word)) fail(std::string(word));
}

std::string ExpressionReader::name() {
  if (next().kind != Word::Kind::name) fail("a name");
  return words_[at_++].text;
}

void ExpressionReader::expect_end() {
  if (next().kind != Word::Kind::end) fail("the end");
}

Expression ExpressionReader::expression() {
  const Deeper deeper(depth_);
  Expression value = either();
  if (!accept("if")) return value;
  const Expression condition = either();
  const Expression otherwise = accept("else") ? expression() : [](Scope&) { return Value{}; };
  return [value, condition, otherwise](Scope& scope) { return condition(scope).truthy() ? value(scope) : otherwise(scope); };
}

Expression ExpressionReader::either() {
  Expression left = both();
  while (accept("or")) {
    left = [left, right = both()](Scope& scope) {
      const Value value = left(scope);
      return value.truthy() ? value : right(scope);
    };
  }
  return left;
}

Expression ExpressionReader::both() {
  Expression left = negated();
  while (accept("and")) {
    left = [left, right = negated()](Scope& scope) {
      const Value value = left(scope);
      return value.truthy() ? right(scope) : value;
    };
  }
  return left;
}

Expression ExpressionReader::negated() {
  const Deeper deeper(depth_);
  if (!accept("not")) return compared();
  return [inner = negated()](Scope& scope) { return Value{!inner(scope).truthy()}; };
}

Expression ExpressionReader::compared() {
  Expression left = summed();
  while (true) {
    if (accept("==")) {
      left = [left, right = summed()](Scope& scope) { return Value{equal(left(scope), right(scope))}; };
    } else if (accept("!=")) {
      left = [left, right = summed()](Scope& scope) { return Value{!equal(left(scope), right(scope))}; };
    } else if (accept("<")) {
      left = [left, right = summed()](Scope& scope) { return Value{number_of(left(scope)) < number_of(right(scope))}; };
    } else if (accept(">")) {
      left = [left, right = summed()](Scope& scope) { return Value{number_of(left(scope)) > number_of(right(scope))}; };
    } else if (accept("<=")) {
      left = [left, right = summed()](Scope& scope) { return Value{number_of(left(scope)) <= number_of(right(scope))}; };
    } else if (accept(">=")) {
      left = [left, right = summed()](Scope& scope) { return Value{number_of(left(scope)) >= number_of(right(scope))}; };
    } else if (accept("in")) {
      left = [left, right = summed()](Scope& scope) { return Value{contains(left(scope), right(scope))}; };
    } else if (accept("not")) {
      expect("in");
      left = [left, right = summed()](Scope& scope) { return Value{!contains(left(scope), right(scope))}; };
    } else {
      return left;
    }
  }
}

Expression ExpressionReader::summed() {
  Expression left = signed_value();
  while (true) {
    if (accept("+")) {
      left = [left, right = signed_value()](Scope& scope) { return sum(left(scope), right(scope)); };
    } else if (accept("-")) {
      left = [left, right = signed_value()](Scope& scope) { return Value{static_cast<std::int64_t>(static_cast<std::uint64_t>(number_of(left(scope))) - static_cast<std::uint64_t>(number_of(right(scope))))}; };
    } else if (accept("~")) {
      left = [left, right = signed_value()](Scope& scope) { return joined(written(left(scope)), written(right(scope))); };
    } else if (accept("%")) {
      left = [left, right = signed_value()](Scope& scope) {
        const std::int64_t by = number_of(right(scope));
        if (by == 0) throw one_line_error("a number is divided by 0");
        if (by == -1) return Value{std::int64_t{0}};  // the smallest number by -1 is undefined in C++
        const std::int64_t rest = number_of(left(scope)) % by;
        return Value{rest != 0 && (rest < 0) != (by < 0) ? rest + by : rest};
      };
    } else {
      return left;
    }
  }
}

Expression ExpressionReader::signed_value() {
  if (!accept("-")) return applied();
  return [inner = applied()](Scope& scope) { return Value{static_cast<std::int64_t>(0 - static_cast<std::uint64_t>(number_of(inner(scope))))}; };
}

Expression ExpressionReader::applied() {
  Expression value = plain();
  while (true) {
    if (accept(".")) {
      const std::string field = name();
      value = next().text == "(" && next().kind == Word::Kind::sign
                  ? called(value, field)
                  : [value, field](Scope& scope) { return item_of(value(scope), {field}); };
    } else if (accept("[")) {
      value = indexed(value);
    } else if (accept("|")) {
      value = filtered(value);
    } else if (accept("is")) {
      value = tested(value);
    } else {
      return value;
    }
  }
}

Expression ExpressionReader::plain() {
  if (accept("(")) {
    Expression inner = expression();
    expect(")");
    return inner;
  }
  const Word word = next();
  ++at_;
  if (word.kind == Word::Kind::text) {
    std::string text = word.text;
    while (next().kind == Word::Kind::text) text += words_[at_++].text;
    return [text](Scope&) { return Value{text}; };
  }
  if (word.kind == Word::Kind::number) return [number = static_cast<std::int64_t>(std::stoll(word.text))](Scope&) { return Value{number}; };
  if (word.text == "[" && accept("]")) return [](Scope&) { return make_list({}); };
  if (word.kind != Word::Kind::name) {
    --at_;
    fail("a value");
  }
  if (word.text == "true" || word.text == "True") return [](Scope&) { return Value{true}; };
  if (word.text == "false" || word.text == "False") return [](Scope&) { return Value{false}; };
  if (word.text == "none" || word.text == "None") return [](Scope&) { return Value{nullptr}; };
  if (next().kind == Word::Kind::sign && next().text == "(") {
    return [name = word.text, given = arguments()](Scope& scope) { return call(name, values(given, scope)); };
  }
  return [name = word.text](Scope& scope) { return scope.get(name); };
}

Expression ExpressionReader::indexed(Expression of) {
  const Expression nothing = [](Scope&) { return Value{}; };
  const Expression first = next().text == ":" && next().kind == Word::Kind::sign ? nothing : expression();
  if (!accept(":")) {
    expect("]");
    return [of, first](Scope& scope) { return item_of(of(scope), first(scope)); };
  }
  const Expression last = next().text == "]" && next().kind == Word::Kind::sign ? nothing : expression();
  expect("]");
  return [of, first, last](Scope& scope) { return slice_of(of(scope), first(scope), last(scope)); };
}

Expression ExpressionReader::called(Expression of, const std::string& field) {
  return [of, field, given = arguments()](Scope& scope) { return method(of(scope), field, values(given, scope)); };
}

Expression ExpressionReader::filtered(Expression of) {
  const std::string field = name();
  std::vector<std::pair<std::string, Expression>> given;
  if (next().kind == Word::Kind::sign && next().text == "(") given = arguments();
  return [of, field, given](Scope& scope) { return filter(of(scope), field, values(given, scope)); };
}

Expression ExpressionReader::tested(Expression of) {
  const bool opposite = accept("not");
  return [of, field = name(), opposite](Scope& scope) { return Value{test(of(scope), field) != opposite}; };
}

std::vector<std::pair<std::string, Expression>> ExpressionReader::arguments() {
  std::vector<std::pair<std::string, Expression>> all;
  expect("(");
  while (!accept(")")) {
    if (!all.empty()) expect(",");
    std::string field;
    if (next().kind == Word::Kind::name && words_[at_ + 1].text == "=" && words_[at_ + 1].kind == Word::Kind::sign) {
      field = name();
      expect("=");
    }
    all.emplace_back(field, expression());
  }
  return all;
}

}  // namespace inference
