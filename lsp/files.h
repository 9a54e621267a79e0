// Files of the workspace as code actions see them: read when small, made when new, never overwritten.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace lsp {

// Nothing where there is no such file; an empty text where it is too large to be looked at.
std::optional<std::string> read_small_file(const std::string& file);

// Names of the regular files of a folder, sorted; without those that start with a dot.
std::vector<std::string> files_in(const std::string& folder);

// The `file:` URI of an absolute path.
std::string uri_of(const std::string& path);

// Writes files that must not exist yet, making the folders they lie in. Where one cannot be written the others that this
// call wrote are taken away again. Returns what went wrong, one line; empty where nothing did.
std::string write_new_files(const std::vector<std::pair<std::string, std::string>>& files);

}  // namespace lsp
