#include "usage/energy.h"

#include <charconv>
#include <utility>

namespace moraine::usage {
namespace {

constexpr const char* kFolder = "/sys/class/powercap";

std::optional<double> number(const RootFiles& files, const std::string& path) {
  const RootFiles::Text text = files.read(path, 64);
  uint64_t value = 0;
  const char* end = text.text.data() + text.text.size();
  if (!text || std::from_chars(text.text.data(), end, value).ec != std::errc()) return std::nullopt;
  return static_cast<double>(value);
}

// "intel-rapl:0", which AMD's packages are called too; "intel-rapl:0:0" is a part of it.
bool is_package(const std::string& name) {
  return name.starts_with("intel-rapl:") && name.find(':') == name.rfind(':');
}

}  // namespace

std::optional<double> EnergyCounter::joules_since_last() {
  double sum = 0;
  bool any = false;
  for (const std::string& name : files_.list(kFolder)) {
    if (!is_package(name)) continue;
    const std::string folder = std::string(kFolder) + "/" + name;
    const auto now = number(files_, folder + "/energy_uj");
    if (!now) continue;
    const auto before = last_.find(name);
    if (before != last_.end()) {
      double step = *now - before->second;
      if (step < 0) step += number(files_, folder + "/max_energy_range_uj").value_or(-step);
      sum += step;
      any = true;
    }
    last_[name] = *now;
  }
  if (!any) return std::nullopt;
  return sum / 1e6;
}

}  // namespace moraine::usage
