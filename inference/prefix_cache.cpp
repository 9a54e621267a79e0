// The tree: looked up from the root, grown at the leaves, cut where it is used least.
#include "inference/prefix_cache.h"

#include <algorithm>

namespace inference {
namespace {

std::vector<TokenId> tokens_of(const Timeline& timeline, std::size_t page) {
  const auto first = timeline.tokens().begin() + static_cast<std::ptrdiff_t>(page * kKvPage);
  return {first, first + static_cast<std::ptrdiff_t>(kKvPage)};
}

}  // namespace

std::size_t PrefixCache::extend(Timeline& timeline) {
  const std::lock_guard lock(mutex_);
  const std::size_t own = std::min(timeline.span(1).end, timeline.tokens().size());
  const std::size_t full = timeline.tokens().size() / kKvPage;
  Node* node = &root_;
  std::vector<SharedPage> pages;
  ++clock_;
  for (std::size_t page = 0; page < full; ++page) {
    const auto child = node->children.find(tokens_of(timeline, page));
    if (child == node->children.end()) break;
    node = child->second.get();
    node->used = clock_;
    pages.push_back(node->page);
  }
  if (pages.size() * kKvPage <= own) return own;
  timeline.adopt(pages);
  return pages.size() * kKvPage;
}

void PrefixCache::share(Timeline& timeline) {
  const std::lock_guard lock(mutex_);
  if (page_bytes_ > budget_) return;
  const std::size_t full = timeline.span(1).end / kKvPage;
  Node* node = &root_;
  ++clock_;
  for (std::size_t page = 0; page < full; ++page) {
    std::unique_ptr<Node>& child = node->children[tokens_of(timeline, page)];
    if (!child) {
      child = std::make_unique<Node>();
      child->page = timeline.page(page);
      child->parent = node;
      ++pages_;
    } else {
      timeline.set_page(page, child->page);
    }
    node = child.get();
    node->used = clock_;
  }
  evict();
}

void PrefixCache::evict() {
  while (pages_ * page_bytes_ > budget_) {
    // A few hundred pages at most: looking at all costs less than an order kept up to date.
    Node* oldest = nullptr;
    std::vector<Node*> open{&root_};
    while (!open.empty()) {
      Node* node = open.back();
      open.pop_back();
      for (const auto& [tokens, child] : node->children) open.push_back(child.get());
      // Of one path, used at once, the end goes first: it alone is a leaf.
      if (node != &root_ && node->children.empty() && (!oldest || node->used < oldest->used)) oldest = node;
    }
    auto& siblings = oldest->parent->children;
    siblings.erase(std::find_if(siblings.begin(), siblings.end(), [&](const auto& entry) { return entry.second.get() == oldest; }));
    --pages_;
    ++evicted_;
  }
}

PrefixCache::Usage PrefixCache::usage() const {
  const std::lock_guard lock(mutex_);
  return {pages_, pages_ * page_bytes_, evicted_};
}

}  // namespace inference
