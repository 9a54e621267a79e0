// What the files that run code actions share; nobody else includes this.
#pragma once

#include <cstddef>
#include <stop_token>
#include <string>
#include <string_view>

#include "context/syntax.h"
#include "lsp/actions/actions.h"
#include "lsp/actions/fill.h"

namespace lsp {

// A hole of these bytes of the place's document, with nothing around it.
Hole hole_at(const ActionPlace& place, std::size_t start, std::size_t end);
// Without blanks and line breaks, to compare code with code.
std::string squeezed(std::string_view text);
// Adds what a fill did and cost to the result.
void take_over(Filled filled, ActionResult& out);
// Fills one hole of the place's document.
ActionResult fill_in_place(const ModelPort& model, const Hole& hole, const FillOptions& options, const std::string& title,
                           std::stop_token stop);

// add_tests.cpp: into the file that by the language's habit holds the tests, which is made where it is not there.
ActionResult add_tests(const ModelPort& model, const ActionPlace& place, const context::SyntaxTree& tree, const FillOptions& options,
                       const ReadFile& read_file, std::stop_token stop);
// repair.cpp.
ActionResult fix_diagnostic(const ModelPort& model, const ActionOffer& offer, const ActionPlace& place,
                            const context::SyntaxTree& tree, const FillOptions& options, std::stop_token stop);
ActionResult repair(const ModelPort& model, const ActionPlace& place, const context::SyntaxTree& tree, const FillOptions& options,
                    std::stop_token stop);

}  // namespace lsp
