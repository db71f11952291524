#include "base/usable_cores.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <memory>
#include <set>
#include <string>

#include "base/cgroup.h"

namespace moraine {
namespace {

// Takes a whole positive number from the front of the text, blanks before it included.
std::optional<int64_t> take_number(std::string& text) {
  text.erase(0, std::min(text.find_first_not_of(" \t\n"), text.size()));
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || value <= 0) return std::nullopt;  // "max", -1, nonsense
  text.erase(0, static_cast<size_t>(end - text.data()));
  return value;
}

// The CPUs this process may run on; empty where the system does not say.
std::vector<int> allowed_cpus() {
  constexpr int kMost = 8192;  // as many as Linux can have; cpu_set_t alone ends at 1,024
  const std::unique_ptr<cpu_set_t, void (*)(cpu_set_t*)> set(CPU_ALLOC(kMost),
                                                             [](cpu_set_t* s) { CPU_FREE(s); });
  const size_t bytes = CPU_ALLOC_SIZE(kMost);
  std::vector<int> cpus;
  if (!set) return cpus;
  CPU_ZERO_S(bytes, set.get());
  if (sched_getaffinity(0, bytes, set.get()) != 0) return cpus;
  for (int cpu = 0; cpu < kMost; ++cpu)
    if (CPU_ISSET_S(cpu, bytes, set.get())) cpus.push_back(cpu);
  return cpus;
}

}  // namespace

std::optional<double> cpu_quota(const RootFiles& files) {
  std::optional<double> least;
  const auto add = [&](std::string quota, std::string period) {
    const auto q = take_number(quota), p = take_number(period);
    if (q && p)
      least = std::min(least.value_or(INT32_MAX), static_cast<double>(*q) / static_cast<double>(*p));
  };
  const std::string groups = files.read("/proc/self/cgroup").text;
  for (const std::string& group : cgroup_folders(groups)) {
    std::string both = files.read(group + "/cpu.max", 256).text;
    const size_t blank = both.find(' ');
    if (blank != std::string::npos) add(both.substr(0, blank), both.substr(blank));
  }
  for (const std::string& group : cgroup_v1_folders(groups, "cpu"))
    add(files.read(group + "/cpu.cfs_quota_us", 256).text,
        files.read(group + "/cpu.cfs_period_us", 256).text);
  return least;
}

int usable_cores(const RootFiles& files, const std::vector<int>& cpus) {
  std::set<std::string> cores;  // each by the CPUs that share it; by its own number where nothing is said
  for (const int cpu : cpus) {
    const std::string folder = "/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/";
    std::string siblings = files.read(folder + "core_cpus_list").text;
    if (siblings.empty()) siblings = files.read(folder + "thread_siblings_list").text;  // before Linux 5.2
    cores.insert(siblings.empty() ? std::to_string(cpu) + '\n' : siblings);
  }
  const double quota = cpu_quota(files).value_or(INT32_MAX);
  return std::max(1, static_cast<int>(std::min(quota, static_cast<double>(cores.size()))));
}

int usable_cores() {
  std::vector<int> cpus = allowed_cpus();
  if (cpus.empty())
    for (int cpu = 0; cpu < sysconf(_SC_NPROCESSORS_ONLN); ++cpu) cpus.push_back(cpu);
  return usable_cores(RootFiles(), cpus);
}

}  // namespace moraine
