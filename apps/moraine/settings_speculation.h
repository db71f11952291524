// What the options of `bench speculation` and `demo` come to.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace moraine::app {

struct SpeculationBenchSettings {
  std::string file;  // a task of the user's; empty: the program's own
  int32_t n_tokens = 256, rounds = 5;
  std::vector<double> acceptances;  // of scripted drafts; empty: none are measured
  bool cost = false;                // measure steps of 1 to 32 rows
  std::vector<int32_t> depths = {512, 4096};
};

struct DemoSettings {
  std::string peer;  // a llama-server's program or URL; empty: the one on PATH
};

}  // namespace moraine::app
