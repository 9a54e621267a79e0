// Byte-level BPE: exact round trips, added tokens, the ids Hugging Face gives, and refusals.
#include "inference/tokenizer.h"

#include <doctest/doctest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>

using namespace inference;
using nlohmann::json;

namespace {

// ByteLevel's spelling of one byte, as UTF-8.
std::string spell(int byte) {
  static const std::vector<int> code_points = [] {
    std::vector<int> table;
    int next = 256;
    for (int b = 0; b < 256; ++b) table.push_back((b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174 ? b : next++);
    return table;
  }();
  const int code_point = code_points[static_cast<std::size_t>(byte)];
  if (code_point < 0x80) return {static_cast<char>(code_point)};
  return {static_cast<char>(0xC0 | code_point >> 6), static_cast<char>(0x80 | (code_point & 0x3F))};
}

// All bytes, and merges for "in", "ret", "urn", "return", " in", "ab", "abc".
json small_tokenizer() {
  json vocabulary = json::object();
  for (int byte = 0; byte < 256; ++byte) vocabulary[spell(byte)] = byte;
  json merges = json::array();
  int next = 256;
  const std::string blank = spell(' ');
  for (const auto& [left, right] : std::vector<std::pair<std::string, std::string>>{{"i", "n"}, {"r", "e"}, {"re", "t"}, {"u", "r"}, {"ur", "n"}, {"ret", "urn"}, {blank, "in"}, {"a", "b"}, {"ab", "c"}}) {
    merges.push_back(next % 2 == 0 ? json(left + " " + right) : json::array({left, right}));
    vocabulary[left + right] = next++;
  }
  return {{"model", {{"type", "BPE"}, {"vocab", vocabulary}, {"merges", merges}}},
          {"added_tokens", {{{"id", 300}, {"content", "<|x|>"}}, {{"id", 301}, {"content", "<|x|>y"}}}},
          {"pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", {{{"type", "Split"}, {"pattern", {{"Regex", R"(\r?\n|[^\S\r\n]{2,}|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|[^\S\r\n]|\s)"}}}, {"behavior", "Isolated"}}, {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}}}}}}};
}

std::string error_of(const json& tokenizer) {
  try {
    Tokenizer::parse(tokenizer.dump(), "t.json");
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("merges apply by rank within a piece, never across pieces") {
  const Tokenizer tokenizer = Tokenizer::parse(small_tokenizer().dump(), "t.json");
  CHECK(tokenizer.encode("return in") == std::vector<TokenId>{261, 262});
  CHECK(tokenizer.encode("abcab") == std::vector<TokenId>{264, 263});
  CHECK(tokenizer.encode("a\nb") == std::vector<TokenId>{'a', '\n', 'b'});
  CHECK(tokenizer.encode("").empty());
  CHECK(tokenizer.size() == 302);
}

TEST_CASE("added tokens are atomic, longest first, and plain text where they are not asked for") {
  const Tokenizer tokenizer = Tokenizer::parse(small_tokenizer().dump(), "t.json");
  CHECK(tokenizer.encode("a<|x|>yb<|x|>") == std::vector<TokenId>{'a', 301, 'b', 300});
  CHECK(tokenizer.encode("<|x|>", false) == std::vector<TokenId>{'<', '|', 'x', '|', '>'});
  CHECK(tokenizer.find_special("<|x|>") == 300);
  CHECK(tokenizer.is_special(300));
  CHECK_FALSE(tokenizer.is_special(256));
}

TEST_CASE("every byte string comes back as it went in") {
  const Tokenizer tokenizer = Tokenizer::parse(small_tokenizer().dump(), "t.json");
  std::uint64_t random = 1;
  for (int round = 0; round < 500; ++round) {
    std::string text;
    for (std::size_t i = 0; i < static_cast<std::size_t>(round) % 40; ++i) {
      random = random * 6364136223846793005u + 1442695040888963407u;
      const auto choice = (random >> 33) % 8;
      if (choice == 0) text += "\r\n";
      if (choice == 1) text += "\xF0\x9F\x98\x80";
      if (choice == 2) text += static_cast<char>(random >> 40);  // often invalid UTF-8
      if (choice == 3) text += "return in";
      if (choice > 3) text += static_cast<char>(' ' + (random >> 40) % 90);
    }
    CHECK(tokenizer.decode(tokenizer.encode(text, false)) == text);
  }
  const std::string blanks(200000, ' ');
  CHECK(tokenizer.decode(tokenizer.encode(blanks)) == blanks);
}

TEST_CASE("ids equal those of Hugging Face's tokenizers for the shipped tokenizer") {
  const std::string file = std::string(LOOPD_SOURCE_DIR) + "/models/default/tokenizer.json";
  const std::string golden = std::string(LOOPD_SOURCE_DIR) + "/tests/golden/tokenizer_hf.json";
  const Tokenizer tokenizer = Tokenizer::load(file);
  std::ifstream stream(golden);
  const json cases = json::parse(stream);
  REQUIRE(cases.at("cases").size() > 30);
  for (const json& c : cases.at("cases")) {
    const std::string text = c.at("text").get<std::string>();
    CAPTURE(text);
    CHECK(tokenizer.encode(text) == c.at("ids").get<std::vector<TokenId>>());
    CHECK(tokenizer.decode(tokenizer.encode(text)) == text);
  }
}

TEST_CASE("a tokenizer that would have to be guessed at is refused in one line") {
  const auto changed = [](const std::string& pointer, const json& value) {
    json tokenizer = small_tokenizer();
    tokenizer[json::json_pointer(pointer)] = value;
    return tokenizer;
  };
  struct Case {
    json tokenizer;
    std::string expected;
  };
  json no_byte = small_tokenizer();
  no_byte["model"]["vocab"].erase("q");
  const Case cases[] = {
      {json::array(), "t.json: not a JSON object"},
      {json::object(), "key \"model\" is missing"},
      {changed("/model/type", "Unigram"), "model type \"Unigram\" is not supported"},
      {changed("/model/merges/0", "xyz"), "merge \"xyz\" is no pair"},
      {changed("/model/merges/0", "q z"), "\"qz\" is not in the vocabulary"},
      {changed("/model/vocab/q", -1), "id -1 is no token id"},
      {changed("/model/vocab/q", 1u << 30), "is no token id"},
      {changed("/normalizer", json{{"type", "Lowercase"}}), "normalizer \"Lowercase\" is not supported"},
      {changed("/pre_tokenizer/pretokenizers/0/behavior", "Removed"), "behavior \"Removed\" is not supported"},
      {changed("/pre_tokenizer/pretokenizers/0/pattern/Regex", "(["), "pre-tokenizer pattern, offset 2"},
      {changed("/pre_tokenizer/pretokenizers/1/add_prefix_space", true), "add_prefix_space is not supported"},
      {changed("/added_tokens/0/content", ""), "an added token is empty"},
      {changed("/model/vocab/q", 5), "id 5 stands for two tokens"},
      {changed("/added_tokens/0/id", 97), "id 97 stands for two tokens, \"a\" and \"<|x|>\""},
      {no_byte, "no token for byte 113"},
  };
  for (const Case& c : cases) {
    const std::string error = error_of(c.tokenizer);
    CAPTURE(error);
    CHECK(error.find(c.expected) != std::string::npos);
    CHECK(error.find('\n') == std::string::npos);
  }
  CHECK_THROWS_WITH(Tokenizer::parse("{\"model\":", "t.json"), doctest::Contains("not valid JSON"));
}
