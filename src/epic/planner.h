// Gets a plan from a frontier model: asks, checks, asks again with the faults named, a bounded number of
// times. Who is asked and how is the caller's (apps/moraine/epic_planner.cpp).
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "epic/plan.h"

namespace moraine::epic {

struct PlanningResult {
  std::string text;  // the last plan
  Parsed parsed;
};

// `ask`: from a prompt to the answer; may throw Error. `on_faults`: before it is asked again.
PlanningResult make_plan(const std::string& wish, const std::string& material, int repairs,
                         const std::function<std::string(const std::string&)>& ask,
                         const std::function<void(const std::vector<Fault>&)>& on_faults);

}  // namespace moraine::epic
