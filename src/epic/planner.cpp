#include "epic/planner.h"

#include "epic/prompt.h"

namespace moraine::epic {

PlanningResult make_plan(const std::string& wish, const std::string& material, int repairs,
                         const std::function<std::string(const std::string&)>& ask,
                         const std::function<void(const std::vector<Fault>&)>& on_faults) {
  PlanningResult result;
  result.text = plan_in(ask(planning_prompt(wish, material)));
  result.parsed = parse_plan(result.text);
  for (int i = 0; i < repairs && !result.parsed.faults.empty(); ++i) {
    if (on_faults) on_faults(result.parsed.faults);
    result.text = plan_in(ask(repair_prompt(wish, result.text, result.parsed.faults)));
    result.parsed = parse_plan(result.text);
  }
  return result;
}

}  // namespace moraine::epic
