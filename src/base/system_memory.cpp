#include "base/system_memory.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <sstream>
#include <string>

#include "base/cgroup.h"

namespace moraine {
namespace {

constexpr uint64_t kMaxKib = UINT64_MAX / 1024;

// The number that a text begins with; empty where it begins otherwise ("max").
std::optional<uint64_t> number(const std::string& text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end == text.data()) return std::nullopt;
  return value;
}

uint64_t page_cache(const std::string& memory_stat) {
  uint64_t file = 0, bytes = 0;
  std::istringstream in(memory_stat);
  for (std::string key; in >> key >> bytes;)
    if (key == "inactive_file" || key == "active_file") file += bytes;
  return file;
}

}  // namespace

SystemMemory read_system_memory(const RootFiles& files) {
  SystemMemory m;
  std::istringstream in(files.read("/proc/meminfo").text);
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line);
    std::string key;
    uint64_t kib = 0;
    if (!(words >> key >> kib) || kib > kMaxKib) continue;
    if (key == "MemTotal:") m.total = kib * 1024;
    if (key == "MemAvailable:") m.available = kib * 1024;
    if (key == "SwapTotal:") m.swap_total = kib * 1024;
  }
  for (const std::string& group : cgroup_folders(files.read("/proc/self/cgroup").text)) {
    const auto limit = number(files.read(group + "/memory.max").text);
    if (!limit) continue;
    m.limit = std::min(m.limit, *limit);
    // Page cache counts against the limit but is given back on demand.
    const uint64_t current = number(files.read(group + "/memory.current").text).value_or(0);
    const uint64_t used = current - std::min(current, page_cache(files.read(group + "/memory.stat").text));
    m.available = std::min(m.available, *limit - std::min(*limit, used));
  }
  return m;
}

uint64_t available_memory() { return read_system_memory(RootFiles()).available; }

}  // namespace moraine
