// Where the meter's file and the table of prices lie: in the user's data and configuration folders, as the
// XDG specification has them.
#pragma once

#include <string>

#include "base/options/parser.h"
#include "settings.h"
#include "usage/prices.h"

namespace moraine::app {

std::string usage_file(const UsageSettings& settings,
                       const options::Environment& env);  // "": counting is off
std::string prices_file(const UsageSettings& settings, const options::Environment& env);

struct Prices {
  usage::PriceTable table;
  std::string file;  // "": the program's own
};
// The user's where there are some, else the program's own. Throws Error. (usage.cpp)
Prices prices_for(const UsageSettings& settings, const options::Environment& env);

}  // namespace moraine::app
