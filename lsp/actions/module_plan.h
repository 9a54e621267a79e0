// Plans the files of a new module in the habit of its language: which there are, and what of them needs no model.
#pragma once

#include <string>
#include <vector>

#include "context/language.h"

namespace lsp {

// What the module is about, as far as its surroundings say.
struct ModuleSubject {
  std::string name;   // an identifier: the folder's name in lower case
  std::string about;  // one sentence; made of the name where nobody said one
  context::Language language = context::Language::none;
};

bool can_plan_module(context::Language language);
// Languages for the command line: "python, c, cpp, ...".
std::string plannable_languages();

ModuleSubject module_subject(const std::string& folder, const std::string& about, context::Language language);

struct PlannedFile {
  // code: the model writes it; the others follow from the code.
  enum class Role { code, index, header, test, readme, build };
  std::string path;  // relative to the folder
  Role role = Role::code;
};

// In the order in which they are generated: code comes first, since everything else is about it.
std::vector<PlannedFile> plan_module(const ModuleSubject& subject);

}  // namespace lsp
