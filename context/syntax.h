// Syntax trees of documents: parsed once, then incrementally, always off the event loop.
#pragma once

#include <memory>
#include <mutex>
#include <string_view>
#include <vector>

#include "context/document.h"
#include "context/language.h"

extern "C" {
typedef struct TSTree TSTree;
}

namespace context {

// An immutable tree-sitter tree. Reading is safe from any thread that holds its own shared_ptr.
class SyntaxTree {
 public:
  SyntaxTree(Language language, TSTree* owned) : language_(language), tree_(owned) {}
  ~SyntaxTree();
  SyntaxTree(const SyntaxTree&) = delete;
  SyntaxTree& operator=(const SyntaxTree&) = delete;

  Language language() const { return language_; }
  const TSTree* get() const { return tree_; }

 private:
  Language language_;
  TSTree* tree_;
};

// Parses from nothing. Returns null for Language::none and for texts over 4 GiB; broken code still gives a tree.
std::shared_ptr<const SyntaxTree> parse(Language language, std::string_view text);

// Re-parses `text`, reusing what `edits` (oldest first) left untouched in `before`.
std::shared_ptr<const SyntaxTree> reparse(const SyntaxTree& before, const std::vector<AppliedEdit>& edits,
                                          std::string_view text);

// Nodes that tree-sitter marks ERROR or MISSING and that touch [start, end]: MISSING ones have no width of their own.
std::size_t count_errors(const SyntaxTree& tree, std::size_t start, std::size_t end);

// Follows one open document: collects edits as they arrive (cheap, event loop) and parses when asked (worker thread).
class SyntaxTracker {
 public:
  SyntaxTracker(Language language, std::shared_ptr<const Document> document);

  Language language() const { return language_; }
  // Records that `edits` turned the last known snapshot into `document`. Never parses, never waits for a parse.
  void edited(std::shared_ptr<const Document> document, const std::vector<AppliedEdit>& edits);
  // The tree of the newest snapshot and that snapshot; parses what is outstanding. Concurrent callers share one parse.
  struct Parsed {
    std::shared_ptr<const Document> document;
    std::shared_ptr<const SyntaxTree> tree;  // null for Language::none
  };
  Parsed parsed();

 private:
  const Language language_;
  std::mutex edits_mutex_;  // guards newest_ and pending_; held for moments only
  std::shared_ptr<const Document> newest_;
  std::vector<AppliedEdit> pending_;
  std::mutex parse_mutex_;  // held while parsing
  Parsed last_;
};

}  // namespace context
