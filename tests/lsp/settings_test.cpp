// Settings: what is taken over, what is complained about, which files are kept out.
#include "lsp/settings.h"

#include <doctest/doctest.h>

#include <string>

#include <nlohmann/json.hpp>

using lsp::Settings;

namespace {

std::vector<std::string> apply_text(Settings& settings, const char* json) {
  return lsp::apply(settings, nlohmann::json::parse(json));
}

}  // namespace

TEST_CASE("settings come nested, dotted, and with or without their section") {
  for (const char* json : {R"({"maxTokens": 7, "depth": {"function": [2, 5]}, "languages": ["rust"]})",
                           R"({"loopd": {"maxTokens": 7, "depth": {"function": [2, 5]}, "languages": ["rust"]}})",
                           R"({"loopd.maxTokens": 7, "loopd.depth.function": [2, 5], "loopd.languages": ["rust"]})",
                           R"({"maxTokens": 7, "depth.function": [2, 5], "languages": ["rust"], "comments": null})"}) {
    CAPTURE(json);
    Settings settings;
    CHECK(apply_text(settings, json).empty());
    CHECK(settings.max_tokens == 7);
    CHECK(settings.depth.function.typing == 2);
    CHECK(settings.depth.function.explicit_ == 5);
    CHECK(settings.depth.module.typing == context::DepthPolicy().module.typing);
    CHECK(is_enabled(settings, context::Language::rust));
    CHECK_FALSE(is_enabled(settings, context::Language::python));
  }
}

TEST_CASE("each wrong value gives one line and changes nothing") {
  const std::pair<const char*, const char*> rows[] = {
      {R"({"maxTokens": "7"})", "the setting loopd.maxTokens must be a whole number from 1 to 4096, not \"7\"; the old value stays"},
      {R"({"maxTokens": 0})", "the setting loopd.maxTokens must be a whole number from 1 to 4096, not 0; the old value stays"},
      {R"({"device": "tpu"})", "the setting loopd.device must be \"auto\", \"cpu\" or \"cuda\", not \"tpu\"; the old value stays"},
      {R"({"depth": {"module": [1]}})",
       "the setting loopd.depth.module must be a number of loops from 1 to 16, or two of them: [while typing, on request], not [1]; the old value stays"},
      {R"({"depth": 3})", "there is no setting loopd.depth"},
      {R"({"comments": 1})", "the setting loopd.comments must be true or false, not 1; the old value stays"},
      {R"({"exclude": ["a", 1]})", "the setting loopd.exclude must be a list of strings, not [\"a\",1]; the old value stays"},
      {R"({"nosuch": {"x": 1}})", "there is no setting loopd.nosuch.x"},
      {R"([1])", "settings must be a JSON object, not array"},
  };
  for (const auto& row : rows) {
    CAPTURE(row.first);
    Settings settings;
    CHECK(apply_text(settings, row.first) == std::vector<std::string>{row.second});
    CHECK(settings.max_tokens == Settings().max_tokens);
    CHECK(settings.exclude == Settings().exclude);
  }
  Settings settings;
  CHECK(apply_text(settings, "null").empty());
  CHECK(apply_text(settings, R"({"maxTokens": 5, "comments": 3, "trace": true})").size() == 1);
  CHECK(settings.max_tokens == 5);
  CHECK(settings.trace);
}

TEST_CASE("globs") {
  struct Row {
    const char* pattern;
    const char* path;
    bool expected;
  };
  const Row rows[] = {
      {".env", ".env", true},          {".env", "a/b/.env", true},     {".env", "a.env", false},
      {"*.pem", "keys/x.pem", true},   {"*.pem", "x.pem.txt", false},  {"src/*.c", "src/a.c", true},
      {"src/*.c", "src/b/a.c", false}, {"src/**/*.c", "src/b/c/a.c", true}, {"src/**/*.c", "src/a.c", true},
      {"**/gen/**", "a/gen/b/c", true}, {"**/gen/**", "gen/x", true},  {"a?c", "abc", true},
      {"a/?/c", "a///c", false},       {"", "", true},                 {"*", "anything", true},
  };
  for (const Row& row : rows) {
    CAPTURE(row.pattern);
    CAPTURE(row.path);
    CHECK(lsp::glob_matches(row.pattern, row.path) == row.expected);
  }
}

TEST_CASE("secrets are kept out unless the user takes them back in") {
  Settings settings;
  for (const char* path : {".env", "app/.env.local", "certs/server.key", "/home/u/.ssh/config", "id_ed25519"}) {
    CAPTURE(path);
    CHECK(is_excluded(settings, path));
  }
  CHECK_FALSE(is_excluded(settings, "src/environment.py"));
  CHECK(apply_text(settings, R"({"exclude": ["generated/**", "!.env"]})").empty());
  CHECK(is_excluded(settings, "generated/a/b.py"));
  CHECK_FALSE(is_excluded(settings, "app/.env"));
  CHECK(is_excluded(settings, "x.pem"));
}

TEST_CASE("a settings file that cannot be used is one line") {
  Settings settings;
  CHECK_THROWS_WITH(apply_file(settings, "/no/such/file.json"), "/no/such/file.json: the settings file cannot be read");
}
