// A look, in a fraction of a second, at whether this build computes rightly on this CPU: every kernel that
// multiplies weights, and the common row kernels, in each instruction set, against the scalar ones by bits,
// and the scalar products against double precision. The tests proper are kernels/*_test.cpp.
#pragma once

#include <string>
#include <vector>

namespace moraine::cpu {

struct SelfTestResult {
  std::string isa;
  int n_checks = 0;
  std::vector<std::string> failures;  // "matmul q4_K with 5 rows: value 3 is 1.5, not 1.25"; at most a few
};

// Of each instruction set this CPU runs, scalar last.
std::vector<SelfTestResult> self_test();

}  // namespace moraine::cpu
