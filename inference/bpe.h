// Byte-pair merging of one pre-tokenized piece: the merge of lowest rank first, leftmost among equals.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace inference {

class Bpe {
 public:
  // `byte_ids[b]` is the id of the single byte b.
  explicit Bpe(std::vector<int> byte_ids) : byte_ids_(std::move(byte_ids)) {}

  // Adds the next merge, in rank order: the pair (left, right) becomes `merged`. A pair seen before keeps its rank.
  void add_merge(int left, int right, int merged);

  // Appends the ids of `piece`. O(n log n), because a piece can be a megabyte of blanks.
  void encode(std::string_view piece, std::vector<int>& ids) const;

 private:
  struct Merge {
    int rank;
    int id;
  };
  const Merge* find(int left, int right) const;

  std::vector<int> byte_ids_;
  std::unordered_map<std::uint64_t, Merge> merges_;
};

}  // namespace inference
