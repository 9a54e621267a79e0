// One table of keys; each entry checks its value and says what it expected.
#include "lsp/settings.h"

#include <fstream>
#include <functional>
#include <map>
#include <sstream>
#include <stdexcept>

#include <nlohmann/json.hpp>

namespace lsp {
namespace {

using Json = nlohmann::json;

// Takes the value over and returns nothing, or returns what it should have been.
using Apply = std::function<std::string(Settings&, const Json&)>;

Apply text(std::string Settings::* member) {
  return [member](Settings& settings, const Json& value) -> std::string {
    if (!value.is_string()) return "a string";
    settings.*member = value.get<std::string>();
    return "";
  };
}

Apply flag(bool Settings::* member) {
  return [member](Settings& settings, const Json& value) -> std::string {
    if (!value.is_boolean()) return "true or false";
    settings.*member = value.get<bool>();
    return "";
  };
}

template <typename Integer>
Apply integer(Integer Settings::* member, long long least, long long most) {
  return [=](Settings& settings, const Json& value) -> std::string {
    const std::string expected = "a whole number from " + std::to_string(least) + " to " + std::to_string(most);
    if (!value.is_number_integer()) return expected;
    const auto number = value.get<long long>();
    if (number < least || number > most) return expected;
    settings.*member = static_cast<Integer>(number);
    return "";
  };
}

Apply texts(std::vector<std::string> Settings::* member, std::vector<std::string> (*start)()) {
  return [=](Settings& settings, const Json& value) -> std::string {
    std::vector<std::string> all = start();
    if (!value.is_array()) return "a list of strings";
    for (const Json& item : value) {
      if (!item.is_string()) return "a list of strings";
      all.push_back(item.get<std::string>());
    }
    settings.*member = std::move(all);
    return "";
  };
}

// One number for both, or [while typing, on request].
Apply depth(context::DepthRange context::DepthPolicy::* member) {
  return [member](Settings& settings, const Json& value) -> std::string {
    const auto valid = [](const Json& loops) { return loops.is_number_integer() && loops.get<long long>() >= 1 && loops.get<long long>() <= 16; };
    context::DepthRange range;
    if (valid(value)) {
      range.typing = range.explicit_ = value.get<int>();
    } else if (value.is_array() && value.size() == 2 && valid(value[0]) && valid(value[1])) {
      range.typing = value[0].get<int>();
      range.explicit_ = value[1].get<int>();
    } else {
      return "a number of loops from 1 to 16, or two of them: [while typing, on request]";
    }
    settings.depth.*member = range;
    return "";
  };
}

std::string apply_device(Settings& settings, const Json& value) {
  if (value != "auto" && value != "cpu" && value != "cuda") return "\"auto\", \"cpu\" or \"cuda\"";
  settings.device = value.get<std::string>();
  return "";
}

std::vector<std::string> no_texts() { return {}; }

const std::map<std::string, Apply>& table() {
  static const std::map<std::string, Apply> entries = {
      {"model", text(&Settings::model)},
      {"device", apply_device},
      {"threads", integer(&Settings::threads, 0, 1024)},
      {"depth.identifier", depth(&context::DepthPolicy::identifier)},
      {"depth.function", depth(&context::DepthPolicy::function)},
      {"depth.module", depth(&context::DepthPolicy::module)},
      {"maxTokens", integer(&Settings::max_tokens, 1, 4096)},
      {"search", integer(&Settings::search_tokens, 0, 4096)},
      {"deadlineMs", integer(&Settings::deadline_ms, 10, 600000)},
      {"languages", texts(&Settings::languages, no_texts)},
      {"comments", flag(&Settings::comments)},
      {"exclude", texts(&Settings::exclude, Settings::default_exclude)},
      {"context.tokens", integer(&Settings::context_tokens, 64, 1 << 20)},
      {"context.snippets", integer(&Settings::context_snippets, 0, 64)},
      {"popup", flag(&Settings::popup)},
      {"actions.check", flag(&Settings::check_actions)},
      {"trace", flag(&Settings::trace)},
  };
  return entries;
}

void apply_nested(Settings& settings, const Json& object, const std::string& prefix, std::vector<std::string>& complaints) {
  for (const auto& [key, value] : object.items()) {
    const std::string name = prefix.empty() ? key : prefix + "." + key;
    const auto entry = table().find(name);
    if (value.is_null()) continue;
    if (entry != table().end()) {
      const std::string expected = entry->second(settings, value);
      if (!expected.empty()) {
        complaints.push_back("the setting loopd." + name + " must be " + expected + ", not " +
                             value.dump(-1, ' ', false, Json::error_handler_t::replace) + "; the old value stays");
      }
    } else if (value.is_object()) {
      apply_nested(settings, value, name, complaints);
    } else {
      complaints.push_back("there is no setting loopd." + name);
    }
  }
}

bool glob(std::string_view pattern, std::string_view text) {
  while (!pattern.empty()) {
    if (pattern.substr(0, 2) == "**") {
      std::string_view rest = pattern.substr(2);
      if (!rest.empty() && rest.front() == '/' && glob(rest.substr(1), text)) return true;  // "**/x" also means "x"
      for (std::size_t skip = 0; skip <= text.size(); ++skip) {
        if (glob(rest, text.substr(skip))) return true;
      }
      return false;
    }
    if (pattern.front() == '*') {
      for (std::size_t skip = 0;; ++skip) {
        if (glob(pattern.substr(1), text.substr(skip))) return true;
        if (skip == text.size() || text[skip] == '/') return false;
      }
    }
    if (text.empty()) return false;
    if (pattern.front() == '?' ? text.front() == '/' : pattern.front() != text.front()) return false;
    pattern.remove_prefix(1);
    text.remove_prefix(1);
  }
  return text.empty();
}

}  // namespace

std::vector<std::string> Settings::default_exclude() {
  return {".env", ".env.*",     "*.env",        "*.pem",       "*.key",  "*.p12",  "*.pfx",       "*.jks",
          "id_rsa*", "id_dsa*", "id_ecdsa*",    "id_ed25519*", ".netrc", ".npmrc", ".pypirc",     ".pgpass",
          ".htpasswd", "credentials", "credentials.json", "secrets.*", "*.kdbx", "*.tfvars", "**/.ssh/**", "**/.gnupg/**",
          "**/.aws/**"};
}

std::vector<std::string> apply(Settings& settings, const Json& json) {
  std::vector<std::string> complaints;
  if (json.is_null()) return complaints;
  if (!json.is_object()) return {"settings must be a JSON object, not " + std::string(json.type_name())};
  const auto enclosed = json.find("loopd");
  if (enclosed != json.end() && enclosed->is_object()) return apply(settings, *enclosed);
  Json own = Json::object();
  for (const auto& [key, value] : json.items()) own[key.rfind("loopd.", 0) == 0 ? key.substr(6) : key] = value;
  apply_nested(settings, own, "", complaints);
  return complaints;
}

std::vector<std::string> apply_file(Settings& settings, const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (!file || !(text << file.rdbuf())) throw std::runtime_error(path + ": the settings file cannot be read");
  const Json json = Json::parse(text.str(), nullptr, false, true);
  if (!json.is_object()) throw std::runtime_error(path + ": the settings file must hold a JSON object");
  return apply(settings, json);
}

bool glob_matches(std::string_view pattern, std::string_view path) {
  if (pattern.find('/') == std::string_view::npos) {
    const std::size_t slash = path.rfind('/');
    return glob(pattern, slash == std::string_view::npos ? path : path.substr(slash + 1));
  }
  return glob(pattern, path);
}

bool is_excluded(const Settings& settings, std::string_view path) {
  bool excluded = false;
  for (std::string_view pattern : settings.exclude) {
    const bool back_in = !pattern.empty() && pattern.front() == '!';
    if (back_in) pattern.remove_prefix(1);
    if (glob_matches(pattern, path)) excluded = !back_in;
  }
  return excluded;
}

bool is_enabled(const Settings& settings, context::Language language) {
  if (settings.languages.empty()) return true;
  for (const std::string& allowed : settings.languages) {
    if (allowed == context::name(language)) return true;
  }
  return false;
}

}  // namespace lsp
