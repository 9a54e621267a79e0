// Pages of loop 1 that lanes share by content: whoever begins with the same tokens need not compute them again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "inference/timeline.h"

namespace inference {

// A tree whose every node is a page: 64 tokens, with the keys, values and states that loop 1 computed for them behind the
// tokens of the nodes above. Depths share it because loop 1 is the same at all of them. Nobody writes to a page that lies
// here (Timeline copies first), so lanes of other documents and clients read it without a lock.
//
// What is used least recently goes when the budget is exceeded, leaves first: a page is of use only with all before it.
// Pages that a lane still holds live on there, uncounted.
class PrefixCache {
 public:
  // Bytes of a page, and of all pages kept. A budget below one page keeps none.
  PrefixCache(std::size_t page_bytes, std::size_t budget) : page_bytes_(page_bytes), budget_(budget) {}
  PrefixCache(const PrefixCache&) = delete;
  PrefixCache& operator=(const PrefixCache&) = delete;

  // Gives `timeline`, whose tokens have just been replaced, the pages that it lacks and this has. Returns the tokens from
  // the start for which loop 1 need not run.
  std::size_t extend(Timeline& timeline);
  // Takes up the pages that `timeline` has filled; those that others have put here already replace its own.
  void share(Timeline& timeline);

  struct Usage {
    std::size_t pages = 0, bytes = 0, evicted = 0;
  };
  Usage usage() const;

 private:
  struct Node {
    SharedPage page;
    Node* parent = nullptr;
    std::uint64_t used = 0;
    std::map<std::vector<TokenId>, std::unique_ptr<Node>> children;
  };
  void evict();

  const std::size_t page_bytes_;
  const std::size_t budget_;
  mutable std::mutex mutex_;  // held to look up and to link pages, never while something is computed
  Node root_;
  std::uint64_t clock_ = 0;
  std::size_t pages_ = 0;
  std::size_t evicted_ = 0;
};

}  // namespace inference
