// Reads the depth policy off a table: class, request, what the model was trained for.
#include "context/depth.h"

#include <doctest/doctest.h>

using namespace context;
using C = SyntaxClass;

TEST_CASE("depth by class, request and model") {
  struct Row {
    SyntaxClass syntax_class;
    bool header;
    bool explicit_request;
    int model_max;
    Depth expected;
  };
  const Row rows[] = {
      {C::identifier, false, false, 6, {2, 2, 0}},
      {C::identifier, false, true, 6, {2, 2, 0}},
      {C::function, false, false, 6, {3, 3, 0}},
      {C::function, false, true, 6, {3, 3, 0}},
      {C::module, false, false, 6, {5, 5, 0}},
      {C::module, false, true, 6, {5, 5, 0}},
      {C::module, false, true, 2, {5, 2, 3}},
      {C::function, false, false, 1, {3, 1, 2}},
      {C::function, true, true, 6, {1, 1, 0}},
      {C::none, false, true, 6, {2, 2, 0}},
      {C::function, false, false, 0, {3, 1, 2}},
  };
  for (const Row& row : rows) {
    Cursor cursor;
    cursor.syntax_class = row.syntax_class;
    cursor.definition_header = row.header;
    const Depth depth = choose_depth({}, cursor, row.explicit_request, row.model_max);
    CHECK(depth.wanted == row.expected.wanted);
    CHECK(depth.loops == row.expected.loops);
    CHECK(depth.revise == row.expected.revise);
  }
  Cursor member;
  member.syntax_class = C::identifier;
  DepthPolicy two;
  two.identifier = {1, 2};
  CHECK(choose_depth(two, member, false, 6).loops == 1);
  CHECK(choose_depth(two, member, true, 6).loops == 2);
  DepthPolicy zero;
  zero.identifier = {0, -3};
  Cursor cursor;
  cursor.syntax_class = C::identifier;
  CHECK(choose_depth(zero, cursor, true, 6).loops == 1);
}
