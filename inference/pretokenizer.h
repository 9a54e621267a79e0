// Splits text into the pieces that byte-pair merging may not cross, by regular expressions with Unicode classes.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace inference {

// A chain of "Split, isolated" steps: each cuts every piece of the step before into matches and what lies between.
class PreTokenizer {
 public:
  PreTokenizer();
  PreTokenizer(PreTokenizer&&) noexcept;
  PreTokenizer& operator=(PreTokenizer&&) noexcept;
  ~PreTokenizer();

  // Throws std::runtime_error with PCRE2's message and the offset of the fault.
  void add_split(const std::string& regex);

  // Pieces in order, without gaps. Bytes that are not valid UTF-8 match nothing and so lie in pieces of their own.
  std::vector<std::string_view> split(std::string_view text) const;

 private:
  struct Pattern;
  std::vector<std::unique_ptr<Pattern>> patterns_;
};

}  // namespace inference
