// The prompts that measurements send: a question in the model's own chat template.
#pragma once

#include <moraine/engine.h>

#include "speculation_tasks.h"

namespace moraine::app {

// The question, and the beginning of the answer where the task has one. A file without a chat template is
// spoken to in ChatML. Throws Error for a template that does not compile.
std::vector<TokenId> task_prompt(const Engine& engine, const SpeculationTask& task);

}  // namespace moraine::app
