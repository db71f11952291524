#include "base/system_memory.h"

#include "base/cgroup.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <string>

namespace moraine {
namespace {

// A number in a one-line file; `fallback` where the file is missing or says "max".
uint64_t read_number(const std::string& path, uint64_t fallback) {
  std::ifstream in(path);
  std::string word;
  if (!(in >> word) || word.empty() || word[0] < '0' || word[0] > '9') return fallback;
  return std::strtoull(word.c_str(), nullptr, 10);
}

}  // namespace

uint64_t available_memory() {
  uint64_t available = UINT64_MAX;
  std::ifstream in("/proc/meminfo");
  std::string key, unit;
  uint64_t kib = 0;
  while (in >> key >> kib) {
    std::getline(in, unit);
    if (key == "MemAvailable:") {
      available = kib * 1024;
      break;
    }
  }
  for (const std::string& group : cgroup_folders()) {
    const uint64_t limit = read_number(group + "/memory.max", UINT64_MAX);
    if (limit == UINT64_MAX) continue;
    // Page cache counts against the limit but is given back on demand.
    const uint64_t current = read_number(group + "/memory.current", 0);
    uint64_t file = 0;
    std::ifstream stat(group + "/memory.stat");
    uint64_t bytes = 0;
    while (stat >> key >> bytes)
      if (key == "inactive_file" || key == "active_file") file += bytes;
    const uint64_t used = current - std::min(current, file);
    available = std::min(available, limit - std::min(limit, used));
  }
  return available;
}

}  // namespace moraine
