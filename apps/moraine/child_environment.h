// The environment of a program that we start: ours, with changes.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace moraine::app {

// "NAME=value" of each; `set` replaces or adds, `unset` leaves out.
std::vector<std::string> child_environment(const std::vector<std::pair<std::string, std::string>>& set = {},
                                           const std::vector<std::string>& unset = {});

}  // namespace moraine::app
