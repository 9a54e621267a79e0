// The languages loopd parses, and how a client's languageId or a file name maps to one.
#pragma once

#include <string_view>

namespace context {

enum class Language { none, python, c, cpp, javascript, typescript, tsx, rust, go, java };

// The language of a buffer: the client's languageId first ("c++" and "cpp" alike), the suffix of the URI or path where
// the id is empty or unknown. Language::none means: complete as plain text, without a syntax tree.
Language detect_language(std::string_view language_id, std::string_view path_or_uri);

// Lower-case name as used in settings and traces, e.g. "typescript"; "none" for Language::none.
std::string_view name(Language language);

// The token that starts a line comment ("#" or "//"); empty for Language::none.
std::string_view line_comment(Language language);

}  // namespace context
