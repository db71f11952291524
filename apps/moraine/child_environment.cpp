#include "child_environment.h"

#include <unistd.h>

#include <string_view>

namespace moraine::app {

std::vector<std::string> child_environment(const std::vector<std::pair<std::string, std::string>>& set,
                                           const std::vector<std::string>& unset) {
  const auto is_replaced = [&](std::string_view entry) {
    const std::string_view name = entry.substr(0, entry.find('='));
    for (const std::string& gone : unset)
      if (name == gone) return true;
    for (const auto& [changed, value] : set)
      if (name == changed) return true;
    return false;
  };
  std::vector<std::string> result;
  for (char** e = ::environ; *e; ++e)
    if (!is_replaced(*e)) result.emplace_back(*e);
  for (const auto& [name, value] : set) result.push_back(name + "=" + value);
  return result;
}

}  // namespace moraine::app
