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

MemoryEstimate estimate_memory(int32_t n_ctx, const plan::Backend& backend, uint64_t scratch, uint64_t other,
                               uint64_t available) {
  MemoryEstimate e;
  e.n_ctx = n_ctx;
  e.weights = backend.weight_bytes();
  e.scratch = scratch;
  e.other = other;
  e.available = available;
  e.kv = static_cast<uint64_t>(cache::pages_for(n_ctx)) * backend.page_bytes();
  e.state = backend.state_bytes();
  return e;
}

void require_fit(const MemoryEstimate& e, const std::string& name) {
  if (e.fits()) return;
  const auto gb = [](uint64_t n) { return static_cast<double>(n) / 1e9; };
  std::string remedy =
      e.n_ctx_fits >= plan::kPageTokens
          ? fmt::format("A context of {} tokens would fit: -c {}.", e.n_ctx_fits, e.n_ctx_fits)
          : "No context fits: choose a smaller model or quantisation, or free memory.";
  const std::string state = e.state > 0 ? fmt::format(", recurrent state {:.2f}", gb(e.state)) : "";
  throw Error(ErrorCode::kOutOfMemory, fmt::format("{} needs {:.2f} GB: weights {:.2f}, cache of {} tokens "
                                                   "{:.2f}{}, work space {:.2f}; {:.2f} GB may be used. {}",
                                                   name, gb(e.total()), gb(e.weights), e.n_ctx, gb(e.kv),
                                                   state, gb(e.scratch + e.other), gb(e.available), remedy));
}

}  // namespace moraine::engine
