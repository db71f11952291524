// The questions that `moraine bench speculation` and `moraine demo` ask: bench/speculation/*.txt, part of the
// program so that its numbers can be compared anywhere. speculation_tasks.cpp.in makes them so.
#pragma once

#include <span>
#include <string_view>

namespace moraine::app {

struct SpeculationTask {
  std::string_view name;
  std::string_view question;
  std::string_view opening;  // how the answer begins: small models keep to a form that they are shown
};

// A task's file: the question, and behind a line "---" the opening, if there is one.
SpeculationTask parse_speculation_task(std::string_view name, std::string_view text);

std::span<const SpeculationTask> speculation_tasks();  // "copy" first

}  // namespace moraine::app
