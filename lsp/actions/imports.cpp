// Imports are read line by line: new text need not parse before it has passed, and no grammar breaks them over lines often.
#include "lsp/actions/imports.h"

#include <algorithm>
#include <cctype>
#include <initializer_list>

#include "context/enclosure.h"
#include "context/lex.h"

namespace lsp {
namespace {

using context::Language;
using context::trim_blanks;

// Top-level modules of Python 3, headers of C and C++, built-in modules of Node, packages of Go: those that code which
// is not about the system itself imports.
constexpr std::string_view python_modules =
    " __future__ abc argparse array ast asyncio atexit base64 bisect builtins bz2 calendar cmath codecs collections colorsys "
    "concurrent configparser contextlib contextvars copy copyreg csv ctypes dataclasses datetime decimal difflib dis email enum "
    "errno faulthandler fcntl filecmp fileinput fnmatch fractions ftplib functools gc getpass gettext glob graphlib grp gzip hashlib "
    "heapq hmac html http imaplib importlib inspect io ipaddress itertools json keyword linecache locale logging lzma mailbox "
    "marshal math mimetypes mmap multiprocessing numbers operator os pathlib pdb pickle pkgutil platform plistlib pprint profile "
    "pwd queue random re readline resource sched secrets select selectors shelve shlex shutil signal site smtplib socket "
    "socketserver sqlite3 ssl stat statistics string stringprep struct subprocess symtable sys sysconfig tarfile tempfile "
    "termios textwrap threading time timeit token tokenize tomllib trace traceback tracemalloc tty types typing unicodedata unittest urllib "
    "uuid venv warnings weakref webbrowser wsgiref xml xmlrpc zipfile zlib zoneinfo ";
constexpr std::string_view c_headers =
    " assert.h complex.h ctype.h errno.h fcntl.h fenv.h float.h inttypes.h iso646.h limits.h locale.h math.h pthread.h setjmp.h "
    "signal.h stdalign.h stdarg.h stdatomic.h stdbool.h stddef.h stdint.h stdio.h stdlib.h stdnoreturn.h string.h strings.h "
    "sys/stat.h sys/time.h sys/types.h threads.h time.h uchar.h unistd.h wchar.h wctype.h ";
constexpr std::string_view cpp_headers =
    " algorithm any array atomic bit bitset cassert cctype cerrno cfloat charconv chrono cinttypes climits cmath codecvt compare complex "
    "concepts condition_variable csignal cstdarg cstddef cstdint cstdio cstdlib cstring ctime cwchar deque exception filesystem "
    "forward_list fstream functional future initializer_list iomanip ios iosfwd iostream istream iterator latch limits list "
    "locale map memory memory_resource mutex new numbers numeric optional ostream queue random ranges ratio regex "
    "scoped_allocator semaphore set shared_mutex source_location span sstream stack stdexcept stop_token streambuf string "
    "string_view strstream system_error thread tuple type_traits typeindex typeinfo unordered_map unordered_set utility "
    "valarray variant vector version ";
constexpr std::string_view node_modules =
    " assert async_hooks buffer child_process cluster console crypto dgram dns events fs http http2 https module net os path "
    "perf_hooks process punycode querystring readline stream string_decoder test timers tls tty url util v8 vm worker_threads zlib ";
constexpr std::string_view go_packages =
    " archive bufio bytes cmp compress container context crypto database debug embed encoding errors expvar flag fmt go hash "
    "html image index io iter log maps math mime net os path plugin reflect regexp runtime slices sort strconv strings sync "
    "syscall testing text time unicode unsafe ";

bool listed(std::string_view list, std::string_view word) {
  return !word.empty() && word.find(' ') == std::string_view::npos && list.find(" " + std::string(word) + " ") != std::string_view::npos;
}

std::string_view until(std::string_view text, std::string_view marks) { return text.substr(0, text.find_first_of(marks)); }

bool script(Language language) {
  return language == Language::javascript || language == Language::typescript || language == Language::tsx;
}

// The text of the first string literal; empty where there is none.
std::string_view quoted(std::string_view text) {
  const std::size_t open = text.find_first_of("\"'`");
  if (open == std::string_view::npos) return "";
  const std::size_t close = text.find(text[open], open + 1);
  return close == std::string_view::npos ? "" : text.substr(open + 1, close - open - 1);
}

std::vector<std::string> python_imports(std::string_view line) {
  std::vector<std::string> found;
  if (line.rfind("from ", 0) == 0 && context::has_word(line, "import")) {
    found.emplace_back(until(trim_blanks(line.substr(5)), " \t"));
  } else if (line.rfind("import ", 0) == 0) {
    std::string_view rest = until(line.substr(7), "#;");
    while (!rest.empty()) {
      const std::string_view one = trim_blanks(until(rest, ","));
      if (!one.empty()) found.emplace_back(until(one, " \t"));
      rest.remove_prefix(std::min(rest.size(), until(rest, ",").size() + 1));
    }
  }
  return found;
}

std::vector<std::string> script_imports(std::string_view line) {
  const bool import = line.rfind("import ", 0) == 0 || (line.rfind("export ", 0) == 0 && context::has_word(line, "from"));
  const std::size_t from = line.rfind(" from ");
  const std::size_t call = std::min(line.find("require("), line.find("import("));
  std::string_view target;
  if (import && from != std::string_view::npos) {
    target = quoted(line.substr(from));
  } else if (import) {
    target = quoted(line.substr(6));
  } else if (call != std::string_view::npos) {
    const std::string_view argument = line.substr(line.find('(', call) + 1);
    if (!argument.empty() && (argument[0] == '"' || argument[0] == '\'')) target = quoted(argument);
  }
  return target.empty() ? std::vector<std::string>{} : std::vector<std::string>{std::string(target)};
}

std::string parent(const std::string& file) {
  const std::size_t slash = file.find_last_of('/');
  return slash == std::string::npos || slash == 0 ? "" : file.substr(0, slash);
}

// "a/b" and "../c" -> "a/c".
std::string join(std::string folder, std::string_view relative) {
  while (!relative.empty()) {
    const std::string_view part = until(relative, "/");
    relative.remove_prefix(std::min(relative.size(), part.size() + 1));
    if (part == "..") {
      folder = parent(folder);
    } else if (part != "." && !part.empty()) {
      folder += "/" + std::string(part);
    }
  }
  return folder;
}

using Exists = std::function<std::optional<std::string>(const std::string&)>;

bool any_exists(const Exists& exists, const std::string& stem, std::initializer_list<const char*> endings) {
  return std::any_of(endings.begin(), endings.end(), [&](const char* ending) { return exists(stem + ending).has_value(); });
}

bool is_file_near(Language language, const std::string& file, std::string_view import, const Exists& exists) {
  if (file.empty() || !exists) return false;
  std::string folder = parent(file);
  if (language == Language::python) {
    std::string_view module = import;
    for (std::size_t dots = 0; !module.empty() && module[0] == '.'; ++dots) {
      if (dots > 0) folder = parent(folder);
      module.remove_prefix(1);
    }
    if (module.empty()) return true;  // `from . import x`: the package itself
    std::string path(until(module, "."));
    const int levels = import[0] == '.' ? 1 : 4;
    for (int level = 0; level < levels && !folder.empty(); ++level, folder = parent(folder)) {
      if (any_exists(exists, folder + "/" + path, {".py", "/__init__.py", ".pyi"})) return true;
    }
    return false;
  }
  if (script(language)) {
    if (import.empty() || import[0] != '.') return false;
    std::string stem = join(folder, import);
    if (any_exists(exists, stem, {"", ".ts", ".tsx", ".js", ".jsx", ".mjs", ".cjs", ".json", "/index.ts", "/index.js"})) return true;
    // TypeScript names the file that will be compiled: "./a.js" is a.ts.
    return stem.ends_with(".js") && any_exists(exists, stem.substr(0, stem.size() - 3), {".ts", ".tsx"});
  }
  if (language == Language::c || language == Language::cpp) {
    if (import.size() < 2 || import[0] != '"') return false;
    for (int level = 0; level < 4 && !folder.empty(); ++level, folder = parent(folder)) {
      if (any_exists(exists, join(folder, import.substr(1)), {""}) || any_exists(exists, join(folder + "/include", import.substr(1)), {""})) return true;
    }
  }
  return false;
}

// The lists of packages that a project keeps, in the file's folder or above.
bool is_listed_package(Language language, const std::string& file, std::string_view import, const Exists& exists) {
  if (file.empty() || !exists) return false;
  std::vector<const char*> lists;
  std::string package(import);
  if (language == Language::python) {
    lists = {"requirements.txt", "pyproject.toml", "setup.py", "setup.cfg"};
    package = until(import, ".");
  } else if (script(language)) {
    lists = {"package.json"};
    const std::size_t slash = import.find('/', import.find('/') != std::string_view::npos && import[0] == '@' ? import.find('/') + 1 : 0);
    package = import.substr(0, slash);
  } else if (language == Language::rust) {
    lists = {"Cargo.toml"};
    package = until(import, ":");
  } else if (language == Language::go) {
    lists = {"go.mod"};
  }
  std::string folder = parent(file);
  for (int level = 0; level < 6 && !folder.empty() && !package.empty(); ++level, folder = parent(folder)) {
    for (const char* list : lists) {
      const auto text = exists(folder + "/" + list);
      if (text && context::has_word(*text, package)) return true;
    }
  }
  return false;
}

std::vector<std::string> imports_of_text(Language language, std::string_view text) {
  std::vector<std::string> found;
  while (!text.empty()) {
    const std::string_view line = until(text, "\n");
    for (std::string& one : imports_of_line(language, line)) found.push_back(std::move(one));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
  }
  return found;
}

// A module of the standard library that [start, end) calls into, while no line of the text binds its name. Only modules
// whose names nobody uses for anything else are looked for.
std::string used_without_import(const std::string& text, std::size_t start, std::size_t end) {
  for (const std::string_view module : {"os", "sys", "re", "json", "math", "itertools", "functools", "collections", "datetime",
                                        "subprocess", "logging", "shutil", "pathlib", "random", "hashlib", "struct"}) {
    bool used = false;
    bool bound = false;
    for (std::size_t at = text.find(module); at != std::string::npos && !bound; at = text.find(module, at + 1)) {
      const std::size_t behind = at + module.size();
      const char before = at > 0 ? text[at - 1] : ' ';
      if (context::is_word(before) || before == '.' || (behind < text.size() && context::is_word(text[behind]))) continue;
      const bool call = behind + 1 < text.size() && text[behind] == '.' && context::is_word(text[behind + 1]);
      used = used || (call && at >= start && at < end && before != '"' && before != '\'');
      bound = !call;  // imported, assigned, a parameter, or a word of a comment: then it may be anything
    }
    if (used && !bound) return std::string(module);
  }
  return "";
}

}  // namespace

std::vector<std::string> imports_of_line(Language language, std::string_view given) {
  const std::string_view line = trim_blanks(given);
  if (language == Language::python) return python_imports(line);
  if (script(language)) return script_imports(line);
  std::string_view target;
  if (language == Language::c || language == Language::cpp) {
    if (line.rfind("#", 0) == 0 && trim_blanks(line.substr(1)).rfind("include", 0) == 0) {
      const std::size_t open = line.find_first_of("<\"");
      if (open != std::string_view::npos) target = line.substr(line[open] == '"' ? open : open + 1);
      target = target.empty() ? target : target.substr(0, target.find_first_of(">\"", 1));
    }
  } else if (language == Language::rust) {
    if (line.rfind("use ", 0) == 0) target = trim_blanks(until(line.substr(4), ";{ "));
    if (target.rfind("::", 0) == 0) target.remove_prefix(2);
  } else if (language == Language::java) {
    const std::string_view statement = trim_blanks(until(line, ";"));
    if (line.rfind("import ", 0) == 0) target = statement.substr(statement.rfind(' ') + 1);
  } else if (language == Language::go) {
    // Also a line of an import block: a string alone, or a name and a string.
    const std::string_view path = quoted(line);
    const bool alone = line.size() > 2 && line.front() == '"' && line.back() == '"' && path.size() + 2 == line.size();
    if (line.rfind("import ", 0) == 0 || (alone && path.find(' ') == std::string_view::npos && path.find('%') == std::string_view::npos)) target = path;
  }
  return target.empty() ? std::vector<std::string>{} : std::vector<std::string>{std::string(target)};
}

bool in_standard_library(Language language, std::string_view import) {
  switch (language) {
    case Language::python: return listed(python_modules, until(import, "."));
    case Language::c: return listed(c_headers, import);
    case Language::cpp: return listed(cpp_headers, import) || listed(c_headers, import);
    case Language::javascript:
    case Language::typescript:
    case Language::tsx:
      return import.rfind("node:", 0) == 0 ? listed(node_modules, until(import.substr(5), "/")) : listed(node_modules, until(import, "/"));
    case Language::rust: return context::one_of(until(import, ":"), {"std", "core", "alloc", "crate", "self", "super"});
    case Language::go: return listed(go_packages, until(import, "/"));
    case Language::java: return import.rfind("java.", 0) == 0 || import.rfind("javax.", 0) == 0;
    case Language::none: break;
  }
  return true;
}

Complaint unknown_imports(Language language, std::string file, std::string before, Exists exists) {
  return [=](const std::string& text, std::size_t start, std::size_t end) -> std::string {
    const std::vector<std::string> known = imports_of_text(language, before);
    for (const std::string& one : imports_of_text(language, std::string_view(text).substr(start, end - start))) {
      const bool there = in_standard_library(language, one) || std::find(known.begin(), known.end(), one) != known.end() ||
                         is_file_near(language, file, one, exists) || is_listed_package(language, file, one, exists);
      if (!there) return "it imports " + one + ", which is not there";
    }
    return "";
  };
}

Complaint missing_imports(Language language) {
  return [=](const std::string& text, std::size_t start, std::size_t end) -> std::string {
    const std::string missing = language == Language::python ? used_without_import(text, start, end) : "";
    return missing.empty() ? "" : "it uses " + missing + " without importing it";
  };
}

}  // namespace lsp
