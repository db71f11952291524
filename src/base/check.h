// CHECK: invariants of our own code. Unreachable from file bytes or HTTP; a failure is a bug, says
// where, and ends the process.
#pragma once

#include <cstdio>
#include <cstdlib>

#define MORAINE_CHECK(cond)                                                                         \
  do {                                                                                              \
    if (!(cond)) [[unlikely]] {                                                                     \
      std::fprintf(stderr, "moraine: broken invariant `%s` at %s:%d\n", #cond, __FILE__, __LINE__); \
      std::abort();                                                                                 \
    }                                                                                               \
  } while (0)
