// Generates a module: a few files that belong together, each written, parsed and checked before any of them is let out.
#pragma once

#include <stop_token>
#include <string>

#include "context/language.h"
#include "lsp/actions/actions.h"
#include "lsp/actions/fill.h"

namespace lsp {

struct ModuleRequest {
  std::string folder;  // absolute path; it need not exist
  context::Language language = context::Language::none;  // none: that of the files around
  std::string about;   // one sentence on what the module is for; empty: what a README in the folder says, else its name
  FillOptions options;  // depth and budget; `others` are shown to the model beside the files around
  ReadFile read_file;
};

// All files as creations, or none at all: where one does not parse, or the model wrote no code, nothing is changed and
// `explain` says why. Files that exist are left out of the plan, and the code's own file must not exist.
ActionResult generate_module(const ModelPort& model, const ModuleRequest& request, std::stop_token stop);

}  // namespace lsp
