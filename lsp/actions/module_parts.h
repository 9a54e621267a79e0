// The files of a module that need no model, made from its code: index, header, read-me, build; and the frame of the code.
#pragma once

#include <string>
#include <vector>

#include "context/function.h"
#include "lsp/actions/module_plan.h"

namespace lsp {

// Puts what the model has written into the frame of a source file: the first comment, the imports that the standard library
// has for what it uses, the namespace. `start` receives where the written part begins.
std::string code_file(const ModuleSubject& subject, const std::string& written, std::size_t* start = nullptr);

// What the next definition begins with: in the first round the type that the module is named after, where the language's
// files allow one, then functions that others can call.
std::vector<std::string> code_openings(const ModuleSubject& subject, bool first);

// Functions of the code that others may call: exported, public, not methods.
std::vector<context::Function> public_functions(const ModuleSubject& subject, const std::string& code);
// The same and the types, by name.
std::vector<std::string> public_names(const ModuleSubject& subject, const std::string& code);

// Empty where the role's file cannot be made of this code.
std::string plain_file(const ModuleSubject& subject, PlannedFile::Role role, const std::string& code);

}  // namespace lsp
