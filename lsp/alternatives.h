// Several suggestions for one place, for users who ask to see more than the first.
#pragma once

#include <chrono>
#include <cstddef>
#include <stop_token>
#include <vector>

#include "lsp/completion.h"

namespace lsp {

// The completion, and up to `most` in all that say something else, likelier ones first. A further one is the likeliest that
// begins with none of the tokens that those before began with; it gets no revise pass. All further ones together get
// `time`; with 0 there is no limit. What stops the first stops all.
std::vector<Completion> complete_several(const ModelPort& model, const CompletionInput& input, std::size_t most,
                                         std::chrono::milliseconds time, std::stop_token stop);

}  // namespace lsp
