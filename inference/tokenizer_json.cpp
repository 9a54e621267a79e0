// Reads a Hugging Face tokenizer.json of the byte-level BPE kind, refusing what it would have to guess.
#include <algorithm>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "inference/one_line.h"
#include "inference/tokenizer_state.h"

namespace inference {
namespace {

using Json = nlohmann::json;

// What ByteLevel splits by when "use_regex" is true: the pattern published with GPT-2.
constexpr const char* kGpt2Pattern = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

// A damaged file must not make the tables below huge.
constexpr TokenId kLargestId = 4'000'000;

// ByteLevel writes every byte as a printable character: printable Latin-1 as itself, the rest from U+0100 up.
std::unordered_map<int, char> code_point_to_byte() {
  std::unordered_map<int, char> table;
  int next = 256;
  for (int byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    table[printable ? byte : next++] = static_cast<char>(byte);
  }
  return table;
}

std::string escape_regex(const std::string& literal) {
  std::string escaped;
  for (const char c : literal) {
    if (std::string_view("\\^$.|?*+()[]{}").find(c) != std::string_view::npos) escaped += '\\';
    escaped += c;
  }
  return escaped;
}

}  // namespace

// Turns one file into a Tokenizer; every complaint names the file and the key.
class TokenizerReader {
 public:
  TokenizerReader(std::string name, Tokenizer::State& state) : name_(std::move(name)), state_(state) {}

  void read(const Json& root) {
    if (!root.is_object()) fail("not a JSON object");
    read_normalizer(root);
    const Json& model = get(root, "model");
    if (model.contains("type") && model.at("type") != "BPE") fail("model type " + model.at("type").dump() + " is not supported; expected \"BPE\"");
    read_vocabulary(get(model, "vocab"));
    read_merges(get(model, "merges"), model.contains("ignore_merges") && model.at("ignore_merges") == true);
    if (root.contains("added_tokens")) read_added(root.at("added_tokens"));
    if (root.contains("pre_tokenizer") && !root.at("pre_tokenizer").is_null()) read_pretokenizer(root.at("pre_tokenizer"));
  }

 private:
  [[noreturn]] void fail(const std::string& what) const { throw one_line_error(name_ + ": " + what); }

  const Json& get(const Json& object, const char* key) const {
    if (!object.is_object() || !object.contains(key)) fail(std::string("key \"") + key + "\" is missing");
    return object.at(key);
  }
  std::string text(const Json& object, const char* key) const {
    const Json& value = get(object, key);
    if (!value.is_string()) fail(std::string("key \"") + key + "\" is " + value.type_name() + "; expected a string");
    return value.get<std::string>();
  }
  TokenId id(const Json& value, const std::string& where) const {
    if (!value.is_number_integer() || value.get<std::int64_t>() < 0 || value.get<std::int64_t>() > kLargestId) {
      fail(where + ": id " + value.dump() + " is no token id");
    }
    return value.get<TokenId>();
  }

  // NFC only changes text that is not composed; skipping it keeps every byte of the buffer as the user has it.
  void read_normalizer(const Json& root) const {
    if (!root.contains("normalizer") || root.at("normalizer").is_null()) return;
    const std::string type = text(root.at("normalizer"), "type");
    if (type == "NFC") return;
    if (type == "Sequence" && get(root.at("normalizer"), "normalizers") == Json::array()) return;
    fail("normalizer \"" + type + "\" is not supported; text must come back byte for byte");
  }

  // A vocabulary entry in ByteLevel's spelling, as the bytes it stands for.
  std::string to_bytes(const std::string& spelled) const {
    std::string bytes;
    for (std::size_t i = 0; i < spelled.size();) {
      const auto lead = static_cast<unsigned char>(spelled[i]);
      const bool two = lead >= 0xC0 && lead < 0xE0 && i + 1 < spelled.size();
      const int code_point = two ? (lead & 0x1F) << 6 | (static_cast<unsigned char>(spelled[i + 1]) & 0x3F) : lead;
      const auto found = to_byte_.find(code_point);
      if (found == to_byte_.end()) fail("vocabulary entry \"" + spelled + "\" is not in byte-level spelling");
      bytes += found->second;
      i += two ? 2 : 1;
    }
    return bytes;
  }

  void place(TokenId where, std::string bytes, bool special) {
    const auto index = static_cast<std::size_t>(where);
    if (index >= state_.bytes.size()) {
      state_.bytes.resize(index + 1);
      state_.special.resize(index + 1);
    }
    if (bytes.empty()) fail("token " + std::to_string(where) + " stands for no bytes");
    // Added tokens are often listed in the vocabulary too; but no id may stand for two texts.
    if (!state_.bytes[index].empty() && state_.bytes[index] != bytes) {
      fail("id " + std::to_string(where) + " stands for two tokens, \"" + state_.bytes[index] + "\" and \"" + bytes + "\"");
    }
    state_.bytes[index] = std::move(bytes);
    state_.special[index] = special;
  }

  void read_vocabulary(const Json& vocabulary) {
    if (!vocabulary.is_object()) fail("model vocab is no object");
    std::vector<int> byte_ids(256, -1);
    for (const auto& [spelled, value] : vocabulary.items()) {
      const TokenId token = id(value, "vocab \"" + spelled + "\"");
      ids_.emplace(spelled, token);
      spelled_.emplace_back(spelled, token);
    }
    // Added tokens are often listed in the vocabulary too, in plain spelling; those that do not decode are left to them.
    for (const auto& [spelled, token] : spelled_) {
      const bool plain = std::any_of(spelled.begin(), spelled.end(), [](char c) { return c == ' '; });
      if (plain) continue;
      std::string bytes = to_bytes(spelled);
      if (bytes.size() == 1) byte_ids[static_cast<unsigned char>(bytes[0])] = token;
      place(token, std::move(bytes), false);
    }
    for (std::size_t byte = 0; byte < 256; ++byte) {
      if (byte_ids[byte] < 0) fail("the vocabulary has no token for byte " + std::to_string(byte) + "; expected byte-level BPE");
    }
    state_.bpe = std::make_unique<Bpe>(std::move(byte_ids));
  }

  void read_merges(const Json& merges, bool ignore_merges) {
    if (!merges.is_array()) fail("model merges is no list");
    for (const Json& merge : merges) {
      std::string left, right;
      if (merge.is_string()) {
        const std::string pair = merge.get<std::string>();
        const std::size_t space = pair.find(' ');
        if (space == std::string::npos) fail("merge \"" + pair + "\" is no pair");
        left = pair.substr(0, space);
        right = pair.substr(space + 1);
      } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
        left = merge[0].get<std::string>();
        right = merge[1].get<std::string>();
      } else {
        fail("merge " + merge.dump() + " is no pair");
      }
      const auto token = [&](const std::string& spelled) {
        const auto found = ids_.find(spelled);
        if (found == ids_.end()) fail("merge \"" + left + " " + right + "\": \"" + spelled + "\" is not in the vocabulary");
        return found->second;
      };
      state_.bpe->add_merge(token(left), token(right), token(left + right));
    }
    if (!ignore_merges) return;
    for (std::size_t i = 0; i < state_.bytes.size(); ++i) state_.whole_pieces.emplace(state_.bytes[i], static_cast<TokenId>(i));
  }

  void read_added(const Json& added) {
    if (!added.is_array()) fail("added_tokens is no list");
    for (const Json& token : added) {
      Tokenizer::State::Added entry{text(token, "content"), id(get(token, "id"), "added token")};
      if (entry.text.empty()) fail("an added token is empty");
      for (const char* flag : {"lstrip", "rstrip", "single_word"}) {
        if (token.value(flag, Json(false)) == true) fail("added token \"" + entry.text + "\": " + flag + " is not supported");
      }
      place(entry.id, entry.text, true);
      state_.added.push_back(std::move(entry));
    }
    const auto longer = [](const auto& a, const auto& b) { return a.text.size() > b.text.size(); };
    std::stable_sort(state_.added.begin(), state_.added.end(), longer);
  }

  void read_pretokenizer(const Json& step) {
    const std::string type = text(step, "type");
    if (type == "Sequence") {
      for (const Json& inner : get(step, "pretokenizers")) read_pretokenizer(inner);
    } else if (type == "ByteLevel") {
      if (step.value("add_prefix_space", Json(false)) == true) fail("pre-tokenizer ByteLevel: add_prefix_space is not supported; text must come back byte for byte");
      if (step.value("use_regex", Json(true)) == true) state_.pretokenizer.add_split(kGpt2Pattern);
    } else if (type == "Digits") {
      state_.pretokenizer.add_split(step.value("individual_digits", Json(false)) == true ? "\\p{N}" : "\\p{N}+");
    } else if (type == "Split") {
      if (text(step, "behavior") != "Isolated") fail("pre-tokenizer Split: behavior \"" + text(step, "behavior") + "\" is not supported; expected \"Isolated\"");
      const Json& pattern = get(step, "pattern");
      try {
        state_.pretokenizer.add_split(pattern.contains("Regex") ? text(pattern, "Regex") : escape_regex(text(pattern, "String")));
      } catch (const std::runtime_error& error) {
        fail(error.what());
      }
    } else {
      fail("pre-tokenizer \"" + type + "\" is not supported");
    }
  }

  std::string name_;
  Tokenizer::State& state_;
  std::unordered_map<int, char> to_byte_ = code_point_to_byte();
  std::unordered_map<std::string, TokenId> ids_;
  std::vector<std::pair<std::string, TokenId>> spelled_;
};

Tokenizer Tokenizer::load(const std::string& file) {
  std::ifstream stream(file, std::ios::binary);
  if (!stream) throw one_line_error(file + ": cannot be read; a model folder needs its tokenizer.json");
  const std::string json{std::istreambuf_iterator<char>(stream), {}};
  return parse(json, file);
}

Tokenizer Tokenizer::parse(std::string_view json, const std::string& name) {
  auto state = std::make_unique<State>();
  const Json root = Json::parse(json, nullptr, false);
  if (root.is_discarded()) throw one_line_error(name + ": not valid JSON; the file may be cut off");
  TokenizerReader(name, *state).read(root);
  return Tokenizer(std::move(state));
}

}  // namespace inference
