// Finds whole statements and comments in a syntax tree: what an edit may replace without tearing anything apart.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "context/document.h"
#include "context/syntax.h"

namespace context {

struct Span {
  std::size_t start = 0;  // bytes
  std::size_t end = 0;
};

// The statement or definition that starts on the line of `offset`, or the innermost one around it.
std::optional<Span> statement_at(const Document& document, const SyntaxTree& tree, std::size_t offset);

// The comment that covers `offset` or opens its line, joined with the comment lines right above and below it.
std::optional<Span> comment_at(const Document& document, const SyntaxTree& tree, std::size_t offset);

// The identifier around bytes [start, end); empty where there is none.
std::string identifier_at(const Document& document, const SyntaxTree& tree, std::size_t start, std::size_t end);

// Names like `wrong` that occur elsewhere in the text, the most similar first: at most one in three letters differs,
// and two that changed places differ once.
std::vector<std::string> similar_names(const Document& document, const SyntaxTree& tree, std::string_view wrong);

// Bodies that hold no statement where the language wants one. The grammar of Python passes them without an error.
std::size_t count_empty_bodies(const SyntaxTree& tree);

// Blanks that open the line of `offset`.
std::string indent_of(const Document& document, std::size_t offset);

}  // namespace context
