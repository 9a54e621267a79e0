// The depth policy: how many loops a syntax class is worth, clamped to what the model was trained for.
#pragma once

#include "context/cursor.h"

namespace context {

struct DepthRange {
  int typing = 1;    // while typing
  int explicit_ = 1;  // when the user asked
};

// Names are worth 1 or 2 loops, functions 3 or 4, modules 5 or 6. The defaults are the cheapest of each that the default
// model's table (models/README.md) cannot tell from the best: its second loop pays, 1.7 more of 100 lines; a further one does not.
struct DepthPolicy {
  DepthRange identifier{2, 2};
  DepthRange function{3, 3};
  DepthRange module{5, 5};
};

struct Depth {
  int wanted = 1;  // what the policy asks for
  int loops = 1;   // latent loops to run: wanted, clamped to [1, model_max]
  int revise = 0;  // revise passes allowed: what wanted exceeds the model's depth by
};

// A definition header always gets depth 1. SyntaxClass::none counts as identifier.
Depth choose_depth(const DepthPolicy& policy, const Cursor& cursor, bool explicit_request, int model_max);

}  // namespace context
