// The one estimator: what a model and context will take, from the header and the plan alone. Every
// command that speaks of memory asks here.
#pragma once

#include <moraine/engine.h>

#include "model/model.h"
#include "plan/backend.h"

namespace moraine::engine {

// Rows and outputs of a forward pass under these options.
plan::StepLimits step_limits(const EngineOptions& options, int32_t n_ctx);

// `weights`, `scratch`, `page` in bytes. Chooses n_ctx: what was asked for, else the trained length or
// the largest multiple of a page that fits. Does not throw where nothing fits: see fits().
MemoryEstimate estimate_memory(const EngineOptions& options, const model::Model& model, uint64_t weights, uint64_t page,
                               uint64_t scratch, uint64_t other, uint64_t available);

// Throws Error{kOutOfMemory} with the numbers and the context that would fit, unless it fits.
void require_fit(const MemoryEstimate& estimate, const std::string& name);

}  // namespace moraine::engine
