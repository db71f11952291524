#include "engine/prepared.h"

#include <algorithm>

#include "base/system_memory.h"
#include "engine/devices.h"
#include "engine/fit.h"
#include "engine/memory.h"
#include "model/loader.h"

namespace moraine::engine {

constexpr uint64_t kMostCacheBytes = 16ull << 30;  // unless more is asked for

void check_options(const EngineOptions& o) {
  const auto require = [](bool ok, const char* what) {
    if (!ok) throw Error(ErrorCode::kInvalidArgument, what);
  };
  require(o.n_ctx >= 0 && o.n_ctx <= kMaxContext,
          "The context must be from 0 (automatic) to 67108864 tokens.");
  require(o.n_threads >= 0 && o.n_threads <= 1024,
          "The number of threads must be from 0 (automatic) to 1024.");
  require(o.n_threads_batch >= 0 && o.n_threads_batch <= 1024,
          "The number of threads for prompts must be from 0 (automatic) to 1024.");
  require(o.n_ubatch >= 1 && o.n_ubatch <= 65536, "The micro-batch must be from 1 to 65536 rows.");
  require(o.n_batch >= 1, "The batch must be at least 1 row.");
  require(o.max_stall_ms >= 1 && o.max_stall_ms <= 60'000,
          "The longest wait for a slice of a prompt must be from 1 to 60000 ms.");
  require(o.speculation.max_draft >= 0 && o.speculation.max_draft <= 64,
          "A draft has from 0 (off) to 64 tokens.");
  require(o.n_parallel >= 1 && o.n_parallel <= 1024,
          "The number of parallel sequences must be from 1 to 1024.");
}

Prepared::Prepared(const EngineOptions& o, int32_t outputs)
    : file(gguf::File::open(o.model_path)),
      model(model::create_model(file)),
      plan(model->forward()),
      max_outputs(outputs > 0 ? outputs : o.n_parallel + o.speculation.max_draft),
      max_tentative(outputs > 0 ? 0 : o.speculation.max_draft) {
  ChosenBackend chosen = choose_backend(o, *model, plan, limits(o, fit_context(o, *model)));
  backend = std::move(chosen.backend), device_note = std::move(chosen.note);
  device_split = std::move(chosen.split);
  backend->declare_weights(model::weights_as_loaded(*model));
  backend->set_kv(model->kv_shape(), o.kv_type_k, o.kv_type_v);
  backend->set_state(model->state_shape());
  const uint64_t free = available_memory();
  const uint64_t limit = o.memory_limit_bytes ? std::min(o.memory_limit_bytes, free) : free;
  const int32_t fits = largest_context(o, limit);
  prepare(o, o.n_ctx > 0 ? o.n_ctx : std::min(model->n_ctx_train(), std::max(fits, plan::kPageTokens)),
          limit);
  memory.n_ctx_fits = fits;
  memory.device = device(), memory.device_note = device_note;
}

plan::StepLimits Prepared::limits(const EngineOptions& o, int32_t n_ctx) const {
  plan::StepLimits l = step_limits(o, n_ctx);
  l.max_outputs = max_outputs;
  l.max_tentative = max_tentative;
  return l;
}

std::string Prepared::device() const {
  return backend->describe() + (device_split.empty() ? "" : ": " + device_split);
}

void Prepared::load(const EngineOptions& o, const std::string& name, const ProgressFn& progress) {
  require_fit(memory, name);
  const auto report = [&](LoadProgress p) {
    p.memory = &memory;
    return !progress || progress(p);
  };
  model::load_weights(file, *model, *backend, report);
  // Once more: the plan's constants may come from weights.
  executable = backend->prepare(plan, limits(o, memory.n_ctx));
}

void Prepared::recover(const EngineOptions& o) {
  executable.reset();
  backend->recover();
  model::load_weights(file, *model, *backend, {});
  executable = backend->prepare(plan, limits(o, memory.n_ctx));
}

void Prepared::prepare(const EngineOptions& o, int32_t n_ctx, uint64_t limit) {
  executable.reset();
  executable = backend->prepare(plan, limits(o, n_ctx));
  memory = estimate_memory(n_ctx, *backend, executable.get(), other_bytes(), limit, o.device.reserved_bytes);
  const uint64_t rest = remaining(memory);
  memory.cache = std::min(rest, o.cache_bytes.value_or(std::min<uint64_t>(rest / 2, kMostCacheBytes)));
}

// The largest multiple of a page that fits. Work space grows with the context: each try is prepared.
int32_t Prepared::largest_context(const EngineOptions& o, uint64_t limit) {
  const uint64_t page = std::max<uint64_t>(1, backend->page_bytes());  // 0: a model without attention
  // Were there no work space.
  const uint64_t reserved = o.device.reserved_bytes;
  const uint64_t pages =
      remaining(estimate_memory(0, *backend, nullptr, other_bytes(), limit, reserved)) / page;
  int32_t low = 0, high = static_cast<int32_t>(std::min<uint64_t>(pages, kMaxContext / plan::kPageTokens));
  while (low < high) {
    const int32_t middle = (low + high + 1) / 2;
    prepare(o, middle * plan::kPageTokens, limit);
    if (memory.fits())
      low = middle;
    else
      high = middle - 1;
  }
  return low * plan::kPageTokens;
}

// The logits of a step, the tokenizer's tables, the program itself.
uint64_t Prepared::other_bytes() const {
  return (24ull << 20) + 250ull * model->n_vocab() + 4ull * plan::row_stride(model->n_vocab()) * max_outputs;
}

}  // namespace moraine::engine
