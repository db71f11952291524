// The energy counters of the CPU packages (RAPL), as Linux shows them in /sys/class/powercap. Most systems
// let only root read them. They count the whole package: all programs, and an APU's GPU; no other GPU, no
// disk.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "base/root_files.h"

namespace moraine::usage {

class EnergyCounter {
 public:
  explicit EnergyCounter(RootFiles files = RootFiles()) : files_(std::move(files)) {}

  // Joules since the call before; empty at the first one and where nothing can be read. Counters wrap round
  // after some 262 kJ, so this wants to be called every few minutes.
  std::optional<double> joules_since_last();

 private:
  RootFiles files_;
  std::map<std::string, double> last_;  // by package, in microjoules
};

}  // namespace moraine::usage
