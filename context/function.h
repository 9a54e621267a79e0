// Finds functions in a syntax tree: where header, documentation and body are, and whether the body is yet to be written.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "context/document.h"
#include "context/syntax.h"

namespace context {

// All offsets are bytes of the document.
struct Function {
  std::string name;
  std::size_t start = 0;       // of the definition with its decorators, attributes, `export`, template head
  std::size_t definition = 0;  // without them
  std::size_t end = 0;
  std::size_t header_end = 0;  // behind the ":" or "{" that opens the body
  std::size_t body_end = 0;    // of a body in braces: at its "}"; else behind its last statement
  bool braces = false;
  bool documented = false;  // by a docstring, or by a comment right above
  bool stub = false;  // nothing but documentation, comments and a placeholder (pass, ..., todo!(), a "not implemented")
  // Behind the header, the docstring and the comments that open the body: where code starts.
  std::size_t code_start = 0;
  std::string indent;       // of the definition's line
  std::string body_indent;  // of the body's statements, present or to come
  std::string type;         // the class, struct or impl around it; empty where there is none
  std::vector<std::string> parameters;  // names only, without `self` and its like
};

// The innermost function whose definition holds `offset`; a cursor in front of the definition on its first line counts.
std::optional<Function> function_at(const Document& document, const SyntaxTree& tree, std::size_t offset);

// Every function of the text that has a name and a body, in order; nested ones follow the one around them.
std::vector<Function> functions_of(const Document& document, const SyntaxTree& tree);

// Names of the classes, structs and their like that stand at the top level, in order.
std::vector<std::string> type_names(const Document& document, const SyntaxTree& tree);

}  // namespace context
