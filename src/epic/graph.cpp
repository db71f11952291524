#include "epic/graph.h"

#include <algorithm>
#include <map>
#include <set>

namespace moraine::epic {
namespace {

enum class Mark { kNew, kOnPath, kSeen };

// Depth is bounded by the number of tasks, which parse_plan() bounds.
bool walk(const Plan& plan, const Task& task, std::map<std::string, Mark>& marks,
          std::vector<std::string>& path) {
  marks[task.id] = Mark::kOnPath;
  path.push_back(task.id);
  for (const std::string& id : task.after) {
    const Task* before = plan.find(id);
    if (before == nullptr) continue;
    if (marks[id] == Mark::kOnPath) {
      path.erase(path.begin(), std::find(path.begin(), path.end(), id));
      path.push_back(id);
      return true;
    }
    if (marks[id] == Mark::kNew && walk(plan, *before, marks, path)) return true;
  }
  marks[task.id] = Mark::kSeen;
  path.pop_back();
  return false;
}

}  // namespace

std::vector<std::string> find_cycle(const Plan& plan) {
  std::map<std::string, Mark> marks;
  std::vector<std::string> path;
  for (const Task& task : plan.tasks)
    if (marks[task.id] == Mark::kNew && walk(plan, task, marks, path)) return path;
  return {};
}

const Task* next_task(const Plan& plan, const std::function<Standing(const Task&)>& standing) {
  for (const Task& task : plan.tasks) {
    if (standing(task) != Standing::kOpen) continue;
    if (std::all_of(task.after.begin(), task.after.end(), [&](const std::string& id) {
          const Task* before = plan.find(id);
          return before && standing(*before) == Standing::kDone;
        }))
      return &task;
  }
  return nullptr;
}

std::vector<std::string> blocked_tasks(const Plan& plan,
                                       const std::function<Standing(const Task&)>& standing) {
  std::set<std::string> stuck;
  for (const Task& task : plan.tasks)
    if (standing(task) == Standing::kFailed) stuck.insert(task.id);
  std::vector<std::string> blocked;
  for (bool more = true; more;) {
    more = false;
    for (const Task& task : plan.tasks) {
      if (stuck.contains(task.id) || standing(task) != Standing::kOpen) continue;
      if (std::any_of(task.after.begin(), task.after.end(),
                      [&](const auto& id) { return stuck.contains(id); })) {
        stuck.insert(task.id);
        more = true;
      }
    }
  }
  for (const Task& task : plan.tasks)
    if (stuck.contains(task.id) && standing(task) == Standing::kOpen) blocked.push_back(task.id);
  return blocked;
}

}  // namespace moraine::epic
