// Says what the open brackets and the indentation around a cursor mean: arguments, a block, a class body, an import list.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <string_view>

#include "context/document.h"
#include "context/language.h"
#include "context/lex.h"

namespace context {

enum class Frame {
  top,            // nothing open
  argument,       // call or macro arguments, a subscript
  parameters,     // of a definition
  condition,      // the parentheses of if, while, for, switch, catch
  group,          // parentheses around a value
  literal,        // a list, a dict, an object, an initializer
  interpolation,  // in a string
  import_list,
  block,          // a body that runs
  type_body,      // of a class, struct, interface, enum, impl
  name_space,     // a namespace or an inner module
};

struct Enclosure {
  Frame frame = Frame::top;
  std::size_t open = 0;       // of the bracket; the text's size where nothing is open
  std::size_t block = 0;      // of the innermost "{" that is a body; the text's size where there is none
  Frame block_frame = Frame::top;  // and what it is: block, type_body or name_space
};

// Reads `lexed`, which is lex(language, text.substr(0, offset)). A bracket that was never closed is passed over where
// a statement follows at its own indentation.
Enclosure enclosure(Language language, const Document& document, std::size_t offset, const Lexed& lexed);

// The first word of `text`, and the one that ends it; empty where there is none.
std::string_view first_word(std::string_view text);
std::string_view last_word(std::string_view text);
std::string_view trim_blanks(std::string_view text);
bool has_word(std::string_view text, std::string_view word);
bool one_of(std::string_view word, std::initializer_list<std::string_view> words);

// True where `line` starts the definition of a function or a type, by its keyword ("pub async fn", "export class",
// "def"); definitions by a type and a name (C, C++, Java) are not seen here.
bool starts_definition(Language language, std::string_view line);
bool starts_control(Language language, std::string_view line);
bool starts_import(Language language, std::string_view line);
// C, C++ and Java define a function by a type and a name.
bool typed_definitions(Language language);
// True for `static int parse` or `List<T> find`: at least one type word and then a name, nothing else.
bool is_type_and_name(std::string_view text);

}  // namespace context
