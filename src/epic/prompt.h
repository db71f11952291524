// The words that agents and planners are given, and what is read out of a planner's answer.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "epic/plan.h"

namespace moraine::epic {

// One task with what belongs to it. `feedback`: what became of earlier attempts; "" for the first.
std::string task_prompt(const Plan& plan, const Task& task, const std::string& feedback);

// What an attempt came to, for the next one and for the report.
std::string feedback_text(int attempt, const std::string& agent_ending, const std::string& command,
                          const std::string& command_ending, const std::string& output);

// For a person or another model: the task, each attempt, where its edits are.
std::string failure_report(const Plan& plan, const Task& task, const std::string& reason,
                           const std::string& feedback, const std::string& branch,
                           const std::string& diff_stat);

// What a planner is asked. `material`: of the repository, where the planner cannot look itself.
std::string planning_prompt(std::string_view wish, const std::string& material);
// The same again with what was wrong with its answer.
std::string repair_prompt(std::string_view wish, const std::string& plan, const std::vector<Fault>& faults);

// The plan within an answer: between <epic> and </epic>, else from its first title on.
std::string plan_in(std::string_view answer);

}  // namespace moraine::epic
