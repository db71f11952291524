// Where the kernel keeps the limits of this process's control groups (version 2).
#pragma once

#include <string>
#include <vector>

namespace moraine {

// Folders under /sys/fs/cgroup from this process's own group up to the root: each may set a limit.
// Version 1 groups are not read.
std::vector<std::string> cgroup_folders();

// The same for the text of a /proc/PID/cgroup file.
std::vector<std::string> cgroup_folders(const std::string& proc_cgroup);

}  // namespace moraine
