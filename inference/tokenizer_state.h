// What a loaded tokenizer holds; shared by the file that reads it and the file that runs it.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "inference/bpe.h"
#include "inference/pretokenizer.h"
#include "inference/tokenizer.h"

namespace inference {

struct Tokenizer::State {
  struct Added {
    std::string text;
    TokenId id;
  };
  std::vector<std::string> bytes;  // by id: what the token stands for; empty for ids nobody defined
  std::vector<bool> special;       // by id: defined in "added_tokens"
  std::vector<Added> added;        // longest first
  PreTokenizer pretokenizer;
  std::unique_ptr<Bpe> bpe;
  // Filled where "ignore_merges" is true: a piece that is a token as a whole is taken as it is.
  std::unordered_map<std::string, TokenId> whole_pieces;
};

}  // namespace inference
