// The depth policy: how many loops a syntax class is worth, clamped to what the model was trained for.
#pragma once

#include "context/cursor.h"

namespace context {

struct DepthRange {
  int typing = 1;    // while typing
  int explicit_ = 2;  // when the user asked
};

struct DepthPolicy {
  DepthRange identifier{1, 2};
  DepthRange function{3, 4};
  DepthRange module{5, 6};
};

struct Depth {
  int wanted = 1;  // what the policy asks for
  int loops = 1;   // latent loops to run: wanted, clamped to [1, model_max]
  int revise = 0;  // revise passes allowed: what wanted exceeds the model's depth by
};

// A definition header always gets depth 1. SyntaxClass::none counts as identifier.
Depth choose_depth(const DepthPolicy& policy, const Cursor& cursor, bool explicit_request, int model_max);

}  // namespace context
