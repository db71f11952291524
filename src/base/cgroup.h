// Where the kernel keeps the limits of this process's control groups.
#pragma once

#include <string>
#include <vector>

namespace moraine {

// Folders under /sys/fs/cgroup from this process's own group, by the text of its /proc/PID/cgroup, up to the
// root: each may set a limit. Groups of version 2.
std::vector<std::string> cgroup_folders(const std::string& proc_cgroup);

// Those of a version 1 controller ("cpu"), which the text names with others ("4:cpu,cpuacct:/box"); empty
// where it does not.
std::vector<std::string> cgroup_v1_folders(const std::string& proc_cgroup, const std::string& controller);

}  // namespace moraine
