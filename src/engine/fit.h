// How much of a model goes to a GPU: what is asked for where that fits into the memory that the device has
// free, else what does. Sizes are read off the device's own backend, to which one share of the model after
// another is declared: memory is not touched.
#pragma once

#include <moraine/engine.h>

#include <string>

#include "backend/split/placement.h"
#include "model/model.h"
#include "plan/backend.h"

namespace moraine::engine {

struct Fit {
  split::Placement placement;
  std::string summary;  // "9 of 49 layers on Vulkan0, their experts on the CPU"; empty: all of one side
  std::string note;     // a sentence where something was chosen, or moved with what was named; may be empty
};

// gpu: without weights; name: "Vulkan0", by which options mean it. limits: of a step. Throws
// Error{kInvalidArgument} for overrides that are no regular expression, name no device here or tear an
// operation apart.
Fit fit(const EngineOptions& options, const model::Model& model, const plan::Plan& plan, plan::Backend& gpu,
        const std::string& name, const plan::StepLimits& limits);

// Tokens of context that there must be room for.
int32_t fit_context(const EngineOptions& options, const model::Model& model);

}  // namespace moraine::engine
