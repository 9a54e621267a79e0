// Expressions of a template: what stands in {{ }}, behind if and in, and on the right of set. Of template.cpp alone.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "inference/template.h"

namespace inference {

// Variables, the innermost loop's last.
struct TemplateScope {
  std::vector<TemplateObject> levels;
  std::size_t steps = 0;  // taken so far

  TemplateValue get(const std::string& name) const;
  void set(const std::string& name, TemplateValue value) { levels.back()[name] = std::move(value); }
};

// Bytes; no text gets longer. A template could double one with every line.
constexpr std::size_t largest_text = 1 << 20;

using TemplateExpression = std::function<TemplateValue(TemplateScope&)>;

// Reads an expression's words: names, strings, numbers, signs.
class ExpressionReader {
 public:
  explicit ExpressionReader(std::string_view source);

  TemplateExpression expression();       // the longest one from here
  bool accept(std::string_view word);    // skips it if it comes next
  void expect(std::string_view word);
  std::string name();
  void expect_end();

 private:
  struct Word {
    enum class Kind { name, text, number, sign, end } kind = Kind::end;
    std::string text;
  };
  const Word& next() const { return words_[at_]; }
  [[noreturn]] void fail(const std::string& wanted) const;
  TemplateExpression either();
  TemplateExpression both();
  TemplateExpression negated();
  TemplateExpression compared();
  TemplateExpression summed();
  TemplateExpression signed_value();
  TemplateExpression applied();
  TemplateExpression plain();
  TemplateExpression indexed(TemplateExpression of);
  TemplateExpression called(TemplateExpression of, const std::string& name);
  TemplateExpression filtered(TemplateExpression of);
  TemplateExpression tested(TemplateExpression of);
  std::vector<std::pair<std::string, TemplateExpression>> arguments();

  std::string source_;
  std::vector<Word> words_;
  std::size_t at_ = 0;
  int depth_ = 0;  // of brackets and negations under way
};

// As {{ }} writes it.
std::string written(const TemplateValue& value);

}  // namespace inference
