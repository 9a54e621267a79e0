// Asks a language's own tool whether a text is sound: python3 -m py_compile, node --check, the compiler's -fsyntax-only.
#pragma once

#include <chrono>
#include <string>

#include "context/language.h"
#include "lsp/actions/fill.h"

namespace lsp {

// Whether there is a tool for the language. That it is installed shows only when it is run.
bool can_check_externally(context::Language language);

// Runs the tool on a copy of `text` in a folder of its own under the system's temporary one: with an empty environment but
// for PATH, without input, under limits of processor time, memory, file size and `patience`. Returns the tool's first line of
// complaint; empty where it has none, is not installed, or did not end in time.
std::string external_complaint(context::Language language, const std::string& text, std::chrono::milliseconds patience = std::chrono::seconds(5));

// The same as a check of new text. What the tool already said of `before` does not count: headers that are not found here say
// nothing about the new code.
Complaint external_check(context::Language language, const std::string& before);

}  // namespace lsp
