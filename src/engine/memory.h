// The one estimator: what a model and context will take, from the header and the plan alone. Every
// command that speaks of memory asks here.
#pragma once

#include <moraine/engine.h>

#include "plan/backend.h"

namespace moraine::engine {

// Rows and outputs of a forward pass under these options.
plan::StepLimits step_limits(const EngineOptions& options, int32_t n_ctx);

// What an executable prepared for n_ctx (null: none) takes on a backend that knows its weights and cache; all
// but n_ctx in bytes; reserved_on_device: taken there by others of this program. Leaves n_ctx_fits at 0: work space grows with the context, so that only preparing for
// it can tell.
MemoryEstimate estimate_memory(int32_t n_ctx, const plan::Backend& backend,
                               const plan::Executable* executable, uint64_t other, uint64_t available,
                               uint64_t reserved_on_device);

// What is left where pages and states lie; 0 where it does not fit.
uint64_t remaining(const MemoryEstimate& estimate);

// Throws Error{kOutOfMemory} with the numbers and the context that would fit, unless it fits.
void require_fit(const MemoryEstimate& estimate, const std::string& name);

}  // namespace moraine::engine
