#include "engine/memory.h"

#include <fmt/format.h>

#include <algorithm>

#include "cache/memory_pool.h"

namespace moraine::engine {

plan::StepLimits step_limits(const EngineOptions& o, int32_t n_ctx) {
  plan::StepLimits l;
  l.max_rows = std::clamp(o.n_ubatch, 1, std::max(1, o.n_batch));
  // Every sequence decodes in each step, and drafts are verified.
  l.max_rows = std::max(l.max_rows, o.n_parallel + o.speculation.max_draft);
  l.max_outputs = o.n_parallel;
  l.max_context = n_ctx;
  return l;
}

MemoryEstimate estimate_memory(int32_t n_ctx, const plan::Backend& backend,
                               const plan::Executable* executable, uint64_t other, uint64_t available,
                               uint64_t reserved_on_device) {
  MemoryEstimate e;
  e.n_ctx = n_ctx;
  e.weights = backend.weight_bytes();
  e.scratch = executable ? executable->scratch_bytes() : 0;
  e.other = other;
  e.available = available;
  const auto n_pages = static_cast<uint64_t>(cache::pages_for(n_ctx));
  e.kv = n_pages * backend.page_bytes();
  e.state = backend.state_bytes();
  if (const auto device = backend.device_memory()) {
    e.on_device = device->weights + n_pages * device->page + device->state +
                  (executable ? executable->device_scratch_bytes() : 0);
    e.device_available = device->available - std::min(device->available, reserved_on_device);
    e.device_is_system = device->is_system;
    if (e.device_is_system) e.device_available = std::min(e.device_available, available);
  }
  return e;
}

uint64_t remaining(const MemoryEstimate& e) {
  if (!e.fits()) return 0;
  const uint64_t on_device = e.device_available - e.on_device;
  if (e.on_device == 0) return e.available - e.total();
  return e.device_is_system ? std::min(on_device, e.available - e.total()) : on_device;
}

void require_fit(const MemoryEstimate& e, const std::string& name) {
  if (e.fits()) return;
  const auto gb = [](uint64_t n) { return static_cast<double>(n) / 1e9; };
  if (e.on_device > e.device_available)
    throw Error(
        ErrorCode::kOutOfMemory,
        fmt::format("{} needs {:.2f} GB of the GPU's memory, where {:.2f} GB may be used. Put fewer of "
                    "its layers there with -ngl, {}.",
                    name, gb(e.on_device), gb(e.device_available),
                    e.n_ctx_fits >= plan::kPageTokens
                        ? fmt::format("or choose a context that fits: -c {}", e.n_ctx_fits)
                        : "or -ngl auto for as many as fit"));
  std::string remedy =
      e.n_ctx_fits >= plan::kPageTokens
          ? fmt::format("A context of {} tokens would fit: -c {}.", e.n_ctx_fits, e.n_ctx_fits)
          : "No context fits: choose a smaller model or quantisation, or free memory.";
  std::string state = e.state > 0 ? fmt::format(", recurrent state {:.2f}", gb(e.state)) : "";
  if (e.draft > 0) state += fmt::format(", draft model {:.2f}", gb(e.draft));
  throw Error(ErrorCode::kOutOfMemory, fmt::format("{} needs {:.2f} GB: weights {:.2f}, cache of {} tokens "
                                                   "{:.2f}{}, work space {:.2f}; {:.2f} GB may be used. {}",
                                                   name, gb(e.total()), gb(e.weights), e.n_ctx, gb(e.kv),
                                                   state, gb(e.scratch + e.other), gb(e.available), remedy));
}

}  // namespace moraine::engine
