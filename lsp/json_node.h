// Reads the protocol's JSON tolerantly: a value with the keys that led to it, so that an error can name the place.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "lsp/json_rpc.h"
#include "lsp/position.h"

namespace lsp {

struct Node {
  const Json* json;
  std::string path;

  bool given() const { return !json->is_null(); }
};

inline const Json null_json;

[[noreturn]] inline void refuse(const Node& node, const std::string& expected) {
  throw RequestError(ErrorCode::invalid_params, node.path + (node.given() ? " must be " : " is missing; it must be ") + expected);
}

inline Node root(const Json& params) { return {&params, "params"}; }

inline Node get(const Node& parent, const char* key) {
  const auto found = parent.json->is_object() ? parent.json->find(key) : parent.json->end();
  return {found == parent.json->end() ? &null_json : &*found, parent.path + "." + key};
}

inline Node get(Node node, std::initializer_list<const char*> keys) {
  for (const char* key : keys) node = get(node, key);
  return node;
}

inline std::string text(const Node& node) {
  if (!node.json->is_string()) refuse(node, "a string");
  return node.json->get<std::string>();
}

inline std::string text_or(const Node& node, std::string fallback) {
  return node.json->is_string() ? node.json->get<std::string>() : std::move(fallback);
}

inline bool flag(const Node& node) { return node.json->is_boolean() && node.json->get<bool>(); }

// Any JSON number that has an integer value, as some clients write 3.0 for 3; clamped to what int64 holds.
inline std::optional<std::int64_t> integer(const Node& node) {
  const Json& json = *node.json;
  if (json.is_number_unsigned()) {
    constexpr auto most = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    return static_cast<std::int64_t>(std::min(json.get<std::uint64_t>(), most));
  }
  if (json.is_number_integer()) return json.get<std::int64_t>();
  if (!json.is_number_float()) return std::nullopt;
  const double value = json.get<double>();
  if (std::isnan(value) || value != std::floor(value)) return std::nullopt;
  return static_cast<std::int64_t>(std::clamp(value, -9e18, 9e18));
}

inline std::uint32_t coordinate(const Node& node) {
  const auto value = integer(node);
  if (!value || *value < 0) refuse(node, "an integer that is not negative");
  return static_cast<std::uint32_t>(std::min<std::int64_t>(*value, std::numeric_limits<std::int32_t>::max()));
}

inline Position position(const Node& node) { return {coordinate(get(node, "line")), coordinate(get(node, "character"))}; }

inline Range range(const Node& node) { return {position(get(node, "start")), position(get(node, "end"))}; }

inline std::vector<std::string> uris(const Node& node) {
  std::vector<std::string> found;
  if (!node.json->is_array()) return found;
  for (const Json& folder : *node.json) {
    const std::string uri = text_or(get({&folder, node.path}, "uri"), "");
    if (!uri.empty()) found.push_back(uri);
  }
  return found;
}

inline Json to_json(const Position& at) { return {{"line", at.line}, {"character", at.character}}; }
inline Json to_json(const Range& at) { return {{"start", to_json(at.start)}, {"end", to_json(at.end)}}; }

}  // namespace lsp
