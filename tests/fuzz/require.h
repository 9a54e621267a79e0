// What a fuzzer demands of every input: a broken promise is printed and ends the process, so that libFuzzer keeps it.
#pragma once

#include <cstdio>
#include <cstdlib>

#define REQUIRE_ALWAYS(condition)                                                              \
  do {                                                                                         \
    if (!(condition)) {                                                                        \
      std::fprintf(stderr, "%s:%d: promise broken: %s\n", __FILE__, __LINE__, #condition);     \
      std::abort();                                                                            \
    }                                                                                          \
  } while (false)
