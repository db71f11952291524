// What a command line says to the meter (`serve`, `usage`) and to epics.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "usage/summary.h"

namespace moraine::app {

// `file` and `off` of `serve` too, the rest of `usage`.
struct UsageSettings {
  std::string file;  // or "off"; empty: in the user's data folder
  bool off = false;
  usage::By by = usage::By::kDay;
  std::string since, epic, price, prices;
  double watts = 0;
  bool csv = false, write_prices = false;
};

// Of `epic`. `arguments` are those behind the subcommand.
struct EpicSettings {
  std::string command;
  std::vector<std::string> arguments;
  std::string name;                               // of a plan that is made; empty: from its title
  std::string planner, planner_url, planner_key;  // see planner.h
  std::vector<std::string> files;                 // what an API is shown beside the list of files
  std::string url, key;                           // the local server
  std::string agent_command;                      // in place of OpenCode
  int32_t attempts = 3, repairs = 3;
  int32_t agent_timeout_s = 3600, accept_timeout_s = 600, wait_s = 120;
  bool yes = false, retry = false, force = false;
};

}  // namespace moraine::app
