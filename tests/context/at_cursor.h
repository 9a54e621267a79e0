// A text with its cursor written as "^": the document without the mark, the tree, and the offset of the mark.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "context/document.h"
#include "context/syntax.h"

namespace tests {

struct AtCursor {
  AtCursor(context::Language language, const std::string& marked)
      : offset(marked.find('^')), document(without_mark(marked), 1), tree(context::parse(language, document.text())) {}

  static std::string without_mark(std::string marked) {
    marked.erase(marked.find('^'), 1);
    return marked;
  }

  std::size_t offset;
  context::Document document;
  std::shared_ptr<const context::SyntaxTree> tree;
};

}  // namespace tests
