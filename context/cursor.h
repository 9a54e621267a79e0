// What the syntax at the cursor asks for: its class, whether one line or a block, and where the enclosing scope ends.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "context/document.h"
#include "context/language.h"
#include "context/syntax.h"

namespace context {

// The four classes of the depth policy. `none`: inside a comment or a string, where completion is off by default.
// A statement that is under way counts as `function` at the top level too; `module` is where a new one starts there.
enum class SyntaxClass { identifier, function, module, none };

std::string_view name(SyntaxClass syntax_class);

struct Cursor {
  SyntaxClass syntax_class = SyntaxClass::module;
  Language language = Language::none;  // the tree's; is_complete and trim read it here
  // True when the suggestion should end with the current line: text follows on the line, or a name, a call or a
  // definition header is being typed. Brackets, commas and semicolons alone, as editors close them on their own, are
  // no text that follows a block opener.
  bool single_line = true;
  // A definition keyword was just typed (`def`, `fn`, `function`, `class`, a type and a name): a signature is wanted,
  // at depth 1.
  bool definition_header = false;
  bool in_comment = false;
  // The path of an import is a string too, and of class `identifier`; in every other string the class is `none`.
  bool in_string = false;
  // The cursor follows the "{" or ":" that opens a block on this line.
  bool opens_block = false;
  // Bytes of the innermost enclosing function, class or block, from the line of its header; the whole text where there
  // is none.
  std::size_t scope_start = 0;
  std::size_t scope_end = 0;
  // Blanks that open the cursor's line, in columns (a tab counts one).
  std::size_t indent = 0;
  // tree-sitter's type of the node at the cursor, e.g. "argument_list"; and one English clause on why this class.
  std::string node;
  std::string why;
};

// `tree` may be null (Language::none): then lines and indentation alone decide. `offset` is clamped to the text.
Cursor classify(const Document& document, const SyntaxTree* tree, std::size_t offset);

}  // namespace context
