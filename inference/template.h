// Renders the part of the Jinja language that chat templates of checkpoints are written in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace inference {

struct TemplateValue;
using TemplateList = std::vector<TemplateValue>;
using TemplateObject = std::map<std::string, TemplateValue>;

// undefined (monostate), none (nullptr), or a value. Lists and objects are shared, as in the language.
struct TemplateValue {
  std::variant<std::monostate, std::nullptr_t, bool, std::int64_t, std::string, std::shared_ptr<TemplateList>, std::shared_ptr<TemplateObject>> value;

  bool truthy() const;
};
TemplateValue make_list(TemplateList items);
TemplateValue make_object(TemplateObject fields);

struct TemplateScope;

// Texts, {{ expressions }}, if, for and set, with the white space rules that checkpoints count on: a line break behind a
// block is dropped, and blanks in front of one.
class Template {
 public:
  // Throws std::runtime_error, one line, for what is none or needs a statement that is not known.
  explicit Template(std::string_view source);

  // Throws std::runtime_error, one line, where a function, filter or test is called that is not known, or the template
  // itself raises an exception.
  std::string render(const TemplateObject& variables) const;

  using Part = std::function<void(TemplateScope&, std::string& out)>;

 private:
  Part all_;
};

}  // namespace inference
