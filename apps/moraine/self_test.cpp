// `moraine self-test`: whether this build computes rightly on this CPU. What is looked at:
// src/backend/cpu/self_test.h.
#include "backend/cpu/self_test.h"

#include <fmt/format.h>

#include <cstdio>

#include "app.h"
#include "version.h"

namespace moraine::app {

int self_test(Invocation&) {
  std::string out = version_line();
  bool good = true;
  for (const cpu::SelfTestResult& r : cpu::self_test()) {
    out += fmt::format("{:<8} {:>4} checks  {}\n", r.isa, r.n_checks, r.failures.empty() ? "right" : "WRONG");
    for (const std::string& failure : r.failures) out += "         " + failure + "\n";
    good = good && r.failures.empty() && r.n_checks > 0;
  }
  out += good ? "All instruction sets of this CPU give the same bits.\n"
              : "This build or this CPU computes wrongly: please report it, with the lines above and moraine "
                "--version --verbose.\n";
  std::fwrite(out.data(), 1, out.size(), stdout);
  std::fflush(stdout);
  return good ? kOk : kFailure;
}

}  // namespace moraine::app
