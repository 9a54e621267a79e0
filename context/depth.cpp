// Turns a syntax class into a number of loops.
#include "context/depth.h"

#include <algorithm>

namespace context {

namespace {

int wanted_depth(const DepthPolicy& policy, const Cursor& cursor, bool explicit_request) {
  if (cursor.definition_header) {
    return 1;
  }
  DepthRange range = policy.identifier;
  if (cursor.syntax_class == SyntaxClass::function) {
    range = policy.function;
  } else if (cursor.syntax_class == SyntaxClass::module) {
    range = policy.module;
  }
  return std::max(1, explicit_request ? range.explicit_ : range.typing);
}

}  // namespace

Depth choose_depth(const DepthPolicy& policy, const Cursor& cursor, bool explicit_request, int model_max) {
  Depth depth;
  depth.wanted = wanted_depth(policy, cursor, explicit_request);
  depth.loops = std::min(depth.wanted, std::max(1, model_max));
  depth.revise = depth.wanted - depth.loops;
  return depth;
}

}  // namespace context
