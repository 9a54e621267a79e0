// Templates, and what the parser says of the code that the model wrote.
#include "lsp/actions/module_parts.h"

#include <algorithm>
#include <string_view>

#include "context/enclosure.h"
#include "context/lex.h"
#include "context/syntax.h"
#include "lsp/actions/test_frame.h"

namespace lsp {
namespace {

using context::Language;
using Role = PlannedFile::Role;

struct Need {
  const char* word;  // as the code uses it
  const char* line;  // what it needs
};
constexpr Need cpp_needs[] = {
    {"std::vector", "#include <vector>"},       {"std::string", "#include <string>"},         {"std::map", "#include <map>"},
    {"std::unordered_map", "#include <unordered_map>"}, {"std::set", "#include <set>"},       {"std::unordered_set", "#include <unordered_set>"},
    {"std::optional", "#include <optional>"},   {"std::function", "#include <functional>"},   {"std::pair", "#include <utility>"},
    {"std::move", "#include <utility>"},        {"std::unique_ptr", "#include <memory>"},     {"std::shared_ptr", "#include <memory>"},
    {"std::sort", "#include <algorithm>"},      {"std::find", "#include <algorithm>"},        {"std::max", "#include <algorithm>"},
    {"std::min", "#include <algorithm>"},       {"std::size_t", "#include <cstddef>"},        {"size_t", "#include <cstddef>"},
    {"uint8_t", "#include <cstdint>"},          {"uint32_t", "#include <cstdint>"},           {"uint64_t", "#include <cstdint>"},
    {"int64_t", "#include <cstdint>"},          {"std::runtime_error", "#include <stdexcept>"}, {"std::invalid_argument", "#include <stdexcept>"},
    {"std::cout", "#include <iostream>"},       {"std::cerr", "#include <iostream>"},         {"std::ostream", "#include <ostream>"},
    {"std::istream", "#include <istream>"},     {"std::string_view", "#include <string_view>"}, {"std::array", "#include <array>"},
};
constexpr Need c_needs[] = {
    {"bool", "#include <stdbool.h>"},  {"size_t", "#include <stddef.h>"},   {"NULL", "#include <stddef.h>"},  {"uint8_t", "#include <stdint.h>"},
    {"uint16_t", "#include <stdint.h>"}, {"uint32_t", "#include <stdint.h>"}, {"uint64_t", "#include <stdint.h>"}, {"int64_t", "#include <stdint.h>"},
    {"printf", "#include <stdio.h>"},  {"fprintf", "#include <stdio.h>"},   {"snprintf", "#include <stdio.h>"}, {"FILE", "#include <stdio.h>"},
    {"malloc", "#include <stdlib.h>"}, {"free", "#include <stdlib.h>"},     {"realloc", "#include <stdlib.h>"}, {"exit", "#include <stdlib.h>"},
    {"strlen", "#include <string.h>"}, {"strcmp", "#include <string.h>"},   {"memcpy", "#include <string.h>"}, {"memset", "#include <string.h>"},
    {"isalpha", "#include <ctype.h>"}, {"isdigit", "#include <ctype.h>"},   {"isspace", "#include <ctype.h>"}, {"tolower", "#include <ctype.h>"},
    {"assert", "#include <assert.h>"}, {"errno", "#include <errno.h>"},
};
constexpr Need rust_needs[] = {
    {"HashMap", "use std::collections::HashMap;"}, {"HashSet", "use std::collections::HashSet;"}, {"BTreeMap", "use std::collections::BTreeMap;"},
    {"VecDeque", "use std::collections::VecDeque;"}, {"PathBuf", "use std::path::PathBuf;"}, {"Path", "use std::path::Path;"},
};
constexpr Need go_needs[] = {
    {"bytes.", "\"bytes\""}, {"bufio.", "\"bufio\""}, {"errors.", "\"errors\""}, {"fmt.", "\"fmt\""}, {"io.", "\"io\""}, {"math.", "\"math\""},
    {"os.", "\"os\""}, {"sort.", "\"sort\""}, {"strconv.", "\"strconv\""}, {"strings.", "\"strings\""}, {"sync.", "\"sync\""}, {"time.", "\"time\""},
};
constexpr Need python_needs[] = {
    {"os.", "import os"}, {"sys.", "import sys"}, {"re.", "import re"}, {"json.", "import json"}, {"math.", "import math"},
    {"itertools.", "import itertools"}, {"functools.", "import functools"}, {"collections.", "import collections"},
    {"datetime.", "import datetime"}, {"logging.", "import logging"}, {"random.", "import random"}, {"pathlib.", "import pathlib"},
};

// `word` as a whole: no letter before it or behind it, and no dot before it.
bool uses(std::string_view text, std::string_view word) {
  const bool open_end = !context::is_word(word.back());
  for (std::size_t at = text.find(word); at != std::string_view::npos; at = text.find(word, at + 1)) {
    const char before = at > 0 ? text[at - 1] : ' ';
    const char behind = at + word.size() < text.size() ? text[at + word.size()] : ' ';
    if (!context::is_word(before) && before != '.' && before != ':' && (open_end ? context::is_word(behind) : !context::is_word(behind))) return true;
  }
  return false;
}

template <std::size_t Count>
std::vector<std::string> needed(const Need (&table)[Count], const std::string& code) {
  std::vector<std::string> lines;
  for (const Need& need : table) {
    if (uses(code, need.word) && code.find(need.line) == std::string::npos) lines.emplace_back(need.line);
  }
  std::sort(lines.begin(), lines.end());
  lines.erase(std::unique(lines.begin(), lines.end()), lines.end());
  return lines;
}

std::string joined(const std::vector<std::string>& lines, const std::string& indent = "") {
  std::string text;
  for (const std::string& line : lines) text += indent + line + "\n";
  return text;
}

std::string block(const std::vector<std::string>& lines) { return lines.empty() ? "" : joined(lines) + "\n"; }

std::string title(std::string name) {
  std::replace(name.begin(), name.end(), '_', ' ');
  if (!name.empty() && name[0] >= 'a' && name[0] <= 'z') name[0] = static_cast<char>(name[0] - 'a' + 'A');
  return name;
}

// A text as the inside of a JSON or TOML string.
std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return out;
}

std::string line_at(const std::string& code, std::size_t offset) {
  const std::size_t start = code.rfind('\n', offset) == std::string::npos || offset == 0 ? 0 : code.rfind('\n', offset - 1) + 1;
  return code.substr(start, code.find('\n', offset) - start);
}

bool is_public(Language language, const std::string& code, const context::Function& function) {
  const std::string line = line_at(code, function.start);
  switch (language) {
    case Language::python: return function.name[0] != '_' && function.indent.empty();
    case Language::javascript:
    case Language::typescript: return line.rfind("export ", 0) == 0 && line.find(" default ") == std::string::npos;
    case Language::rust: return line.rfind("pub fn", 0) == 0;
    case Language::go: return function.name[0] >= 'A' && function.name[0] <= 'Z' && line.rfind("func (", 0) != 0;
    case Language::c:
    case Language::cpp: return !context::has_word(line, "static") && line.rfind("template", 0) != 0 && function.name != "main" &&
                               function.name.find(':') == std::string::npos && function.name.find("operator") == std::string::npos;
    default: return false;
  }
}

std::string header(const ModuleSubject& subject, const std::string& code) {
  std::string declarations;
  for (const context::Function& function : public_functions(subject, code)) {
    std::string signature = code.substr(function.start, function.header_end - 1 - function.start);
    while (!signature.empty() && context::is_blank(signature.back())) signature.pop_back();
    declarations += signature + ";\n";
  }
  if (declarations.empty()) return "";
  const bool cpp = subject.language == Language::cpp;
  std::string guard = subject.name + "_h";
  std::transform(guard.begin(), guard.end(), guard.begin(), [](unsigned char c) { return static_cast<char>(c >= 'a' && c <= 'z' ? c - 32 : c); });
  const std::string body = cpp ? "namespace " + subject.name + " {\n\n" + declarations + "\n}  // namespace " + subject.name + "\n" : declarations;
  return "// " + subject.about + "\n#ifndef " + guard + "\n#define " + guard + "\n\n" +
         block(cpp ? needed(cpp_needs, declarations) : needed(c_needs, declarations)) + body + "\n#endif\n";
}

std::string index(const ModuleSubject& subject, const std::string& code) {
  const std::vector<std::string> names = public_names(subject, code);
  if (subject.language == Language::javascript || subject.language == Language::typescript) {
    return "// " + subject.about + "\nexport * from \"./" + subject.name + ".js\";\n";
  }
  if (subject.language == Language::rust) return "//! " + subject.about + "\n\npub mod " + subject.name + ";\n";
  if (names.empty()) return "";
  std::string list, quoted;
  for (const std::string& name : names) {
    list += (list.empty() ? "" : ", ") + name;
    quoted += (quoted.empty() ? "\"" : ", \"") + name + "\"";
  }
  return "\"\"\"" + subject.about + "\"\"\"\n\nfrom ." + subject.name + " import " + list + "\n\n__all__ = [" + quoted + "]\n";
}

std::string readme(const ModuleSubject& subject, const std::string& code) {
  std::string text = "# " + title(subject.name) + "\n\n" + subject.about + "\n\n## What is here\n\n";
  for (const std::string& name : public_names(subject, code)) text += "- `" + name + "`\n";
  const bool go = subject.language == Language::go;
  return text + "\n## Tests\n\n    " + (go ? "go test ./..." : "python -m unittest") + "\n";
}

std::string build(const ModuleSubject& subject) {
  const std::string& name = subject.name;
  switch (subject.language) {
    case Language::javascript:
    case Language::typescript: {
      const bool typed = subject.language == Language::typescript;
      return "{\n  \"name\": \"" + name + "\",\n  \"version\": \"0.1.0\",\n  \"description\": \"" + escaped(subject.about) + "\",\n  \"type\": \"module\",\n" +
             "  \"main\": \"index.js\",\n  \"scripts\": { \"test\": \"" + (typed ? "tsc && node --test" : "node --test") + "\" }\n}\n";
    }
    case Language::rust: return "[package]\nname = \"" + name + "\"\nversion = \"0.1.0\"\nedition = \"2021\"\ndescription = \"" + escaped(subject.about) + "\"\n";
    case Language::go: return "module " + name + "\n\ngo 1.21\n";
    case Language::c:
    case Language::cpp: {
      const std::string end = subject.language == Language::c ? "c" : "cpp";
      const std::string kind = subject.language == Language::c ? "C" : "CXX";
      return "cmake_minimum_required(VERSION 3.16)\nproject(" + name + " " + kind + ")\n\nadd_library(" + name + " " + name + "." + end + ")\ntarget_include_directories(" + name +
             " PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})\n" + (end == "cpp" ? "target_compile_features(" + name + " PUBLIC cxx_std_17)\n" : "") +
             "\nenable_testing()\nadd_executable(test_" + name + " test_" + name + "." + end + ")\ntarget_link_libraries(test_" + name + " PRIVATE " + name +
             ")\nadd_test(NAME " + name + " COMMAND test_" + name + ")\n";
    }
    default: return "";
  }
}

}  // namespace

std::string code_file(const ModuleSubject& subject, const std::string& written, std::size_t* start) {
  std::string head, tail = written.empty() ? "" : "\n";
  switch (subject.language) {
    case Language::python: head = "\"\"\"" + subject.about + "\"\"\"\n\n" + block(needed(python_needs, written)) + "\n"; break;
    case Language::c: head = "// " + subject.about + "\n#include \"" + subject.name + ".h\"\n\n" + block(needed(c_needs, written)); break;
    case Language::cpp:
      head = "// " + subject.about + "\n#include \"" + subject.name + ".h\"\n\n" + block(needed(cpp_needs, written)) + "namespace " + subject.name + " {\n\n";
      tail = "\n\n}  // namespace " + subject.name + "\n";
      break;
    case Language::rust: head = "//! " + subject.about + "\n\n" + block(needed(rust_needs, written)); break;
    case Language::go: {
      const auto imports = needed(go_needs, written);
      head = "// Package " + subject.name + ": " + subject.about + "\npackage " + subject.name + "\n\n" + (imports.empty() ? "" : "import (\n" + joined(imports, "\t") + ")\n\n");
      break;
    }
    default: head = "// " + subject.about + "\n\n"; break;
  }
  if (start) *start = head.size();
  return head + written + tail;
}

std::vector<std::string> code_openings(const ModuleSubject& subject, bool first) {
  const std::string type = camel_case(subject.name);
  switch (subject.language) {
    case Language::python:
      if (!first) return {"def "};
      return {"class " + type + ":\n    \"\"\"" + subject.about + "\"\"\"\n\n    def __init__(self", "def "};
    case Language::javascript:
    case Language::typescript: return {"export function "};
    case Language::rust: return {"pub fn "};
    case Language::go: return {"func " + std::string(first ? "New" + type : ""), "func "};
    case Language::c: return {"int " + subject.name + "_", "bool " + subject.name + "_", "size_t " + subject.name + "_"};
    case Language::cpp: return first ? std::vector<std::string>{"bool is_", "std::string to_", "int parse_"} : std::vector<std::string>{"std::string to_", "int count_", "bool has_"};
    default: return {""};
  }
}

std::vector<context::Function> public_functions(const ModuleSubject& subject, const std::string& code) {
  const context::Document document(code, 1);
  const auto tree = context::parse(subject.language, code);
  std::vector<context::Function> found;
  if (!tree) return found;
  for (context::Function& function : context::functions_of(document, *tree)) {
    if (function.type.empty() && function.indent.empty() && is_public(subject.language, code, function)) found.push_back(std::move(function));
  }
  return found;
}

std::vector<std::string> public_names(const ModuleSubject& subject, const std::string& code) {
  std::vector<std::string> names;
  for (const context::Function& function : public_functions(subject, code)) names.push_back(function.name);
  const auto tree = context::parse(subject.language, code);
  for (const std::string& type : tree ? context::type_names(context::Document(code, 1), *tree) : std::vector<std::string>{}) {
    if (subject.language == Language::python && type[0] != '_') names.push_back(type);
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

std::string plain_file(const ModuleSubject& subject, Role role, const std::string& code) {
  switch (role) {
    case Role::index: return index(subject, code);
    case Role::header: return header(subject, code);
    case Role::readme: return readme(subject, code);
    case Role::build: return build(subject);
    case Role::code:
    case Role::test: break;
  }
  return "";
}

}  // namespace lsp
