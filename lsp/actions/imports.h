// Checks that what new code imports is there: in the standard library, in the project, or imported by the file before.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "context/language.h"
#include "lsp/actions/fill.h"

namespace lsp {

// What a line imports, as written: "os.path", "./queue", "vector", "serde::Serialize". Relative Python imports keep
// their dots; an include in quotes keeps its opening quote, for it names a file.
std::vector<std::string> imports_of_line(context::Language language, std::string_view line);

// Whether the language's standard library has it.
bool in_standard_library(context::Language language, std::string_view import);

// Complains of an import in new text that is neither in the standard library, nor among the imports of `before`, nor a
// file near `file`, nor named by the project's own list of packages. `exists` reads a file by its absolute path.
Complaint unknown_imports(context::Language language, std::string file, std::string before,
                          std::function<std::optional<std::string>(const std::string&)> exists);

// Complains of a module of Python's standard library that new text uses and no line of the text imports.
Complaint missing_imports(context::Language language);

}  // namespace lsp
