// Byte-pair merging with a queue of candidate pairs over a linked list of symbols.
#include "inference/bpe.h"

#include <queue>

namespace inference {
namespace {

std::uint64_t pair_key(int left, int right) {
  return static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32 | static_cast<std::uint32_t>(right);
}

struct Symbol {
  int id;
  int previous;
  int next;
};

// A pair that could merge when it was queued; stale once either symbol has changed.
struct Candidate {
  int rank;
  int left;
  int right;
  int left_id;
  int right_id;
  int merged;
  bool operator>(const Candidate& other) const { return rank != other.rank ? rank > other.rank : left > other.left; }
};

}  // namespace

void Bpe::add_merge(int left, int right, int merged) {
  merges_.emplace(pair_key(left, right), Merge{static_cast<int>(merges_.size()), merged});
}

const Bpe::Merge* Bpe::find(int left, int right) const {
  const auto found = merges_.find(pair_key(left, right));
  return found == merges_.end() ? nullptr : &found->second;
}

void Bpe::encode(std::string_view piece, std::vector<int>& ids) const {
  constexpr int kGone = -1;
  const int count = static_cast<int>(piece.size());
  std::vector<Symbol> symbols(piece.size());
  for (int i = 0; i < count; ++i) {
    const auto byte = static_cast<unsigned char>(piece[static_cast<std::size_t>(i)]);
    symbols[static_cast<std::size_t>(i)] = {byte_ids_[byte], i - 1, i + 1 < count ? i + 1 : kGone};
  }
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue;
  const auto at = [&](int index) -> Symbol& { return symbols[static_cast<std::size_t>(index)]; };
  const auto offer = [&](int left, int right) {
    if (left == kGone || right == kGone) return;
    if (const Merge* merge = find(at(left).id, at(right).id)) {
      queue.push({merge->rank, left, right, at(left).id, at(right).id, merge->id});
    }
  };
  for (int i = 0; i + 1 < count; ++i) offer(i, i + 1);
  while (!queue.empty()) {
    const Candidate best = queue.top();
    queue.pop();
    Symbol& left = at(best.left);
    Symbol& right = at(best.right);
    if (left.id != best.left_id || right.id != best.right_id || left.next != best.right) continue;
    left.id = best.merged;
    left.next = right.next;
    right.id = kGone;
    if (left.next != kGone) at(left.next).previous = best.left;
    offer(left.previous, best.left);
    offer(best.left, left.next);
  }
  for (int i = count > 0 ? 0 : kGone; i != kGone; i = at(i).next) ids.push_back(at(i).id);
}

}  // namespace inference
