#include "base/cpu_features.h"

#include "base/cgroup.h"

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <set>
#include <string>
#include <utility>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace moraine {

CpuFeatures detect_cpu() {
  CpuFeatures f;
#if defined(__x86_64__)
  // GCC's builtins check CPUID and XGETBV both.
  f.avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  unsigned a = 0, b = 0, c = 0, d = 0;
  f.avx2 = f.avx2 && __get_cpuid(1, &a, &b, &c, &d) && (c & (1u << 29));  // F16C
  f.avx512_vnni = f.avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                  __builtin_cpu_supports("avx512vnni");
  f.amx_int8 =
      f.avx512_vnni && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & (1u << 25)) && (d & (1u << 24));
#endif
  return f;
}

bool allow_amx() {
#if defined(__x86_64__) && defined(__linux__)
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return detect_cpu().amx_int8 && syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

namespace {

// The smallest quota in CPUs of this process's control groups; infinity where there is none.
double cgroup_cpus() {
  double cpus = INFINITY;
  for (const std::string& group : cgroup_folders()) {
    std::ifstream in(group + "/cpu.max");
    std::string quota;
    double period = 0;
    if (in >> quota >> period && quota != "max" && period > 0)
      cpus = std::min(cpus, std::atof(quota.c_str()) / period);
  }
  return std::max(1.0, cpus);
}

}  // namespace

int usable_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return std::max(1L, sysconf(_SC_NPROCESSORS_ONLN));
  std::set<std::pair<int, int>> cores;  // (package, core)
  int n = 0;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &set)) continue;
    ++n;
    const std::string dir = "/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/";
    int package = 0, core = cpu;
    std::ifstream(dir + "physical_package_id") >> package;
    std::ifstream(dir + "core_id") >> core;
    cores.emplace(package, core);
  }
  const double limit = cgroup_cpus();
  int physical = cores.empty() ? n : static_cast<int>(cores.size());
  if (limit < physical) physical = static_cast<int>(limit);
  return std::max(1, physical);
}

}  // namespace moraine
