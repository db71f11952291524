// Which backend a model runs on: from options to a plan::Backend. The one place that knows the backends there
// are.
#pragma once

#include <moraine/engine.h>

#include <memory>
#include <string>

#include "model/model.h"
#include "plan/backend.h"

namespace moraine::engine {

// Threads that compute on the CPU under these options.
int32_t n_threads(const EngineOptions& options);

struct ChosenBackend {
  std::unique_ptr<plan::Backend> backend;
  std::string note;   // a sentence for the user where it is not what was asked for, or was chosen for them
  std::string split;  // what lies where, of a model on both: "9 of 49 layers on Vulkan0"; else empty
};

// limits: of a step, with the context that there must be room for (fit_context). Throws Error: a device that
// is named and is not there, a driver that fails, tensors that cannot lie where they should.
ChosenBackend choose_backend(const EngineOptions& options, const model::Model& model, const plan::Plan& plan,
                             const plan::StepLimits& limits);

}  // namespace moraine::engine
