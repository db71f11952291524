// The CPU, from /proc/cpuinfo: what the captured machine has, whatever this one is. What kernels this
// process picks is base/cpu_features.h.
#include <algorithm>
#include <set>

#include "base/usable_cores.h"
#include "system/facts.h"
#include "system/text.h"

namespace moraine::system {
namespace {

constexpr size_t kMaxCpuinfoBytes = 4 << 20;  // 512 threads of it

}  // namespace

CpuFacts read_cpu(const RootFiles& files) {
  CpuFacts cpu;
  cpu.quota = cpu_quota(files);
  const RootFiles::Text cpuinfo = files.read("/proc/cpuinfo", kMaxCpuinfoBytes);
  std::set<std::pair<std::string, std::string>> cores;  // (package, core)
  std::string package;
  std::set<std::string_view> flags;
  for (const std::string_view line : lines_of(cpuinfo.text)) {
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    const std::string_view key = trim(line.substr(0, colon)), value = trim(line.substr(colon + 1));
    if (key == "processor") ++cpu.n_threads;
    if (key == "model name" && cpu.model.empty()) cpu.model = printable(value);
    if (key == "physical id") package = value;
    if (key == "core id") cores.emplace(package, value);
    if (key == "flags" && flags.empty()) {
      const auto words = words_of(value);
      flags.insert(words.begin(), words.end());
    }
  }
  cpu.n_cores = cores.empty() ? cpu.n_threads : static_cast<int>(cores.size());
  const auto has = [&](std::initializer_list<std::string_view> names) {
    return std::all_of(names.begin(), names.end(), [&](auto name) { return flags.contains(name); });
  };
  cpu.avx2 = has({"avx2", "fma", "f16c"});
  cpu.avx512_vnni = cpu.avx2 && has({"avx512f", "avx512bw", "avx512vl", "avx512_vnni"});
  cpu.amx_int8 = cpu.avx512_vnni && has({"amx_tile", "amx_int8"});
  return cpu;
}

}  // namespace moraine::system
