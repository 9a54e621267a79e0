// Maps languageIds and file names to the languages loopd parses.
#include "context/language.h"

#include <algorithm>
#include <array>
#include <string>

namespace context {

namespace {

struct Alias {
  std::string_view key;
  Language language;
};

// What VS Code, Neovim, Emacs, Helix and JetBrains call these languages.
constexpr std::array<Alias, 26> ids{{
    {"python", Language::python},
    {"python3", Language::python},
    {"c", Language::c},
    {"cpp", Language::cpp},
    {"c++", Language::cpp},
    {"cc", Language::cpp},
    {"cuda", Language::cpp},
    {"cuda-cpp", Language::cpp},
    {"arduino", Language::cpp},
    {"javascript", Language::javascript},
    {"js", Language::javascript},
    {"jsx", Language::javascript},
    {"javascriptreact", Language::javascript},
    {"javascript.jsx", Language::javascript},
    {"js-jsx", Language::javascript},
    {"typescript", Language::typescript},
    {"ts", Language::typescript},
    {"typescriptreact", Language::tsx},
    {"typescript.tsx", Language::tsx},
    {"tsx", Language::tsx},
    {"typescript-tsx", Language::tsx},
    {"rust", Language::rust},
    {"rs", Language::rust},
    {"go", Language::go},
    {"golang", Language::go},
    {"java", Language::java},
}};

constexpr std::array<Alias, 30> suffixes{{
    {"py", Language::python},      {"pyi", Language::python},     {"pyw", Language::python},
    {"c", Language::c},            {"h", Language::c},            {"cc", Language::cpp},
    {"cpp", Language::cpp},        {"cxx", Language::cpp},        {"c++", Language::cpp},
    {"hpp", Language::cpp},        {"hh", Language::cpp},         {"hxx", Language::cpp},
    {"h++", Language::cpp},        {"ipp", Language::cpp},        {"inl", Language::cpp},
    {"tpp", Language::cpp},        {"cu", Language::cpp},         {"cuh", Language::cpp},
    {"ino", Language::cpp},        {"js", Language::javascript},  {"mjs", Language::javascript},
    {"cjs", Language::javascript}, {"jsx", Language::javascript}, {"ts", Language::typescript},
    {"mts", Language::typescript}, {"cts", Language::typescript}, {"tsx", Language::tsx},
    {"rs", Language::rust},        {"go", Language::go},          {"java", Language::java},
}};

std::string lower(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return result;
}

template <std::size_t N>
const Alias* find(const std::array<Alias, N>& table, std::string_view key) {
  const auto found = std::find_if(table.begin(), table.end(), [&](const Alias& alias) { return alias.key == key; });
  return found == table.end() ? nullptr : &*found;
}

// The text after the last dot of the last path segment; a query or fragment of a URI is no part of it.
std::string_view suffix_of(std::string_view path) {
  if (path.find("://") != std::string_view::npos) {
    path = path.substr(0, path.find_first_of("?#"));
  }
  const std::size_t slash = path.find_last_of("/\\");
  const std::string_view file = slash == std::string_view::npos ? path : path.substr(slash + 1);
  const std::size_t dot = file.rfind('.');
  return dot == std::string_view::npos ? std::string_view() : file.substr(dot + 1);
}

}  // namespace

Language detect_language(std::string_view language_id, std::string_view path_or_uri) {
  if (const Alias* alias = find(ids, lower(language_id))) {
    return alias->language;
  }
  if (const Alias* alias = find(suffixes, lower(suffix_of(path_or_uri)))) {
    return alias->language;
  }
  return Language::none;
}

std::string_view name(Language language) {
  switch (language) {
    case Language::none: return "none";
    case Language::python: return "python";
    case Language::c: return "c";
    case Language::cpp: return "cpp";
    case Language::javascript: return "javascript";
    case Language::typescript: return "typescript";
    case Language::tsx: return "tsx";
    case Language::rust: return "rust";
    case Language::go: return "go";
    case Language::java: return "java";
  }
  return "none";
}

std::string_view line_comment(Language language) {
  switch (language) {
    case Language::none: return "";
    case Language::python: return "#";
    default: return "//";
  }
}

}  // namespace context
