// The doctest runner that every suite links.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

// ThreadSanitizer asks for this by name. tree-sitter's asserts read a subtree's reference count plainly while other
// threads count atomically; the count itself is right, and nothing else happens in that function.
extern "C" const char* __tsan_default_suppressions() { return "race:ts_subtree_retain\n"; }
