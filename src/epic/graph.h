// What must come before what among a plan's tasks.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "epic/plan.h"

namespace moraine::epic {

// The ids of a circle of dependencies, its first again at its end; empty: there is none.
std::vector<std::string> find_cycle(const Plan& plan);

enum class Standing { kOpen, kDone, kFailed };
// The first task in the file's order that is open and whose dependencies are done; null: none.
const Task* next_task(const Plan& plan, const std::function<Standing(const Task&)>& standing);
// Open tasks that wait for a failed one, directly or not.
std::vector<std::string> blocked_tasks(const Plan& plan,
                                       const std::function<Standing(const Task&)>& standing);

}  // namespace moraine::epic
