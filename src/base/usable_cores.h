// How many threads are worth having by default: the cores this process may use.
#pragma once

#include <optional>
#include <vector>

#include "base/root_files.h"

namespace moraine {

// Physical cores this process may use: its CPU affinity and the quota of its control groups counted,
// hyper-threads not. Slow cores of a mixed CPU count, as threads take work piece by piece. >= 1.
int usable_cores();

// The same of a machine whose files these are, for a process that may run on `cpus` (their numbers).
int usable_cores(const RootFiles& files, const std::vector<int>& cpus);

// The smallest quota of this process's control groups (version 1 or 2), in CPUs: 1.5; empty: none.
std::optional<double> cpu_quota(const RootFiles& files);

}  // namespace moraine
