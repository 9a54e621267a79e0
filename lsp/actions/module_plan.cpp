// One table: language to files. The order is that of generation.
#include "lsp/actions/module_plan.h"

#include <algorithm>
#include <cctype>

namespace lsp {
namespace {

using context::Language;
using Role = PlannedFile::Role;

struct Row {
  Language language;
  std::vector<PlannedFile> files;  // NAME stands for the module's name
};

const std::vector<Row>& table() {
  static const std::vector<Row> rows = {
      {Language::python, {{"NAME.py", Role::code}, {"__init__.py", Role::index}, {"test_NAME.py", Role::test}, {"README.md", Role::readme}}},
      {Language::c, {{"NAME.c", Role::code}, {"NAME.h", Role::header}, {"test_NAME.c", Role::test}, {"CMakeLists.txt", Role::build}}},
      {Language::cpp, {{"NAME.cpp", Role::code}, {"NAME.h", Role::header}, {"test_NAME.cpp", Role::test}, {"CMakeLists.txt", Role::build}}},
      {Language::javascript, {{"NAME.js", Role::code}, {"index.js", Role::index}, {"NAME.test.js", Role::test}, {"package.json", Role::build}}},
      {Language::typescript, {{"NAME.ts", Role::code}, {"index.ts", Role::index}, {"NAME.test.ts", Role::test}, {"package.json", Role::build}}},
      {Language::rust, {{"src/NAME.rs", Role::code}, {"src/lib.rs", Role::index}, {"tests/NAME_test.rs", Role::test}, {"Cargo.toml", Role::build}}},
      {Language::go, {{"NAME.go", Role::code}, {"NAME_test.go", Role::test}, {"go.mod", Role::build}, {"README.md", Role::readme}}},
  };
  return rows;
}

const Row* row_of(Language language) {
  const auto found = std::find_if(table().begin(), table().end(), [&](const Row& row) { return row.language == language; });
  return found == table().end() ? nullptr : &*found;
}

// Folders that hold modules, and would give every one of them the same name.
constexpr const char* holders[] = {"src", "lib", "source", "pkg"};

// "My-Folder 2" -> "my_folder_2"; never empty, never a number in front.
std::string identifier(const std::string& text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) && byte < 0x80) {
      out += static_cast<char>(std::tolower(byte));
    } else if (!out.empty() && out.back() != '_') {
      out += '_';
    }
  }
  while (!out.empty() && out.back() == '_') out.pop_back();
  if (out.empty()) return "module";
  return std::isdigit(static_cast<unsigned char>(out[0])) ? "m" + out : out;
}

std::string base_name(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path.substr(path.find_last_of('/') + 1);
}

}  // namespace

bool can_plan_module(Language language) { return row_of(language) != nullptr; }

std::string plannable_languages() {
  std::string names;
  for (const Row& row : table()) names += (names.empty() ? "" : ", ") + std::string(context::name(row.language));
  return names;
}

ModuleSubject module_subject(const std::string& folder, const std::string& about, Language language) {
  ModuleSubject subject;
  std::string name = base_name(folder);
  const bool holder = std::any_of(std::begin(holders), std::end(holders), [&](const char* one) { return name == one; });
  if (holder) name = base_name(folder.substr(0, folder.rfind('/' + name)));
  subject.name = identifier(name);
  subject.about = about;
  for (char& c : subject.about) {
    if (c == '\n' || c == '\r') c = ' ';
  }
  if (subject.about.empty()) {
    subject.about = subject.name;
    std::replace(subject.about.begin(), subject.about.end(), '_', ' ');
    subject.about[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(subject.about[0])));
    subject.about += ".";
  }
  subject.language = language;
  return subject;
}

std::vector<PlannedFile> plan_module(const ModuleSubject& subject) {
  const Row* row = row_of(subject.language);
  if (!row) return {};
  std::vector<PlannedFile> files = row->files;
  for (PlannedFile& file : files) {
    const std::size_t at = file.path.find("NAME");
    if (at != std::string::npos) file.path.replace(at, 4, subject.name);
  }
  return files;
}

}  // namespace lsp
