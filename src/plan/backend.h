// The seam between what is computed and where: a Backend holds weights and KV pages in its device's
// memory and runs plans on them. Models write plans and never see a backend; the engine sees this
// file and never a device. Implementations: backend/cpu, whose scalar kernels are the specification, and
// backend/vulkan.
#pragma once

#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <moraine/engine.h>

#include "plan/plan.h"

namespace moraine::plan {

enum class Status : uint8_t { kOk, kCancelled, kOutOfMemory, kDeviceLost };

constexpr int32_t kPageTokens = 256;  // tokens in one KV page, all layers

using PageId = int32_t;
using StateId = int32_t;

// One step: rows of one or several sequences. Everything a plan leaves symbolic.
struct Step {
  std::span<const TokenId> tokens;       // [rows]
  std::span<const int32_t> positions;    // [rows] absolute, in the row's sequence
  std::span<const int32_t> sequences;    // [rows] index into page_tables; rows of one sequence lie
                                         // together, positions ascending by one
  std::span<const int32_t> output_rows;  // [outputs] ascending
  std::span<const std::span<const PageId>> page_tables;  // by sequence: page of position p is [p / 256];
                                                         // may be empty for plans without attention
  std::span<const StateId> states = {};  // by sequence, as it is after the tokens before this step's;
                                         // may be empty for plans without recurrence
  // By sequence: how many of its rows, the last ones, may turn out not to be of it (drafted tokens). They
  // leave no trace in its state until Executable::keep() says which of them stay. Empty: none.
  std::span<const int32_t> tentative = {};
};

struct StepLimits {
  int32_t max_rows = 0;
  int32_t max_outputs = 0;
  int32_t max_context = 0;    // largest position + 1
  int32_t max_tentative = 0;  // tentative rows of a step, all sequences together
};

// A plan made ready for one backend: scratch allocated, passes fused or recorded. One at a time.
class Executable {
 public:
  virtual ~Executable() = default;
  virtual uint64_t scratch_bytes() const = 0;
  virtual uint64_t device_scratch_bytes() const { return 0; }  // of them, in the device's own memory
  // Runs the step, of a plan with pauses (plan::Exchange) what comes before the first. logits: [outputs,
  // logits_stride] float32 on the host, n_vocab of each row valid. Does not allocate. logits_stride is at
  // least row_stride(n_vocab). Step and logits stay where they are until the last part has run.
  virtual Status submit(const Step& step, float* logits, int64_t logits_stride) noexcept = 0;
  // After a step with tentative rows, before the next: by sequence of that step, how many of them, the first
  // ones, its state advances by. The state's bytes are then those of a step that held no others.
  virtual void keep(std::span<const int32_t> rows) noexcept = 0;
  // Goes on behind a pause, up to the next one or the end.
  virtual Status resume() noexcept { return Status::kOk; }
  // Where the host finds a value that a pause gives, and writes one that it takes: [rows, row_stride(width)].
  virtual float* exchange(ValueId) noexcept { return nullptr; }
};

// Memory that is not simply the host's.
struct DeviceMemory {
  uint64_t available = 0;  // bytes that this process may take in all, what it has included
  bool is_system = true;   // it is the system's memory by another name, and counts there too
  // Of Backend's weight_bytes(), page_bytes() and state_bytes(), what lies there.
  uint64_t weights = 0, page = 0, state = 0;
};

// What a page or a state holds, wherever that lies, for a copy that outlives the process. Good while the page
// or the state is; any thread may use it while no step writes there.
struct Contents {
  uint64_t size = 0;  // bytes; 0: there is nothing, or nothing that can be kept
  // Copy the bytes from `offset` on, within size. False: errno says why; ENODEV is a device that was lost.
  std::function<bool(uint64_t offset, std::span<uint8_t> to)> read;
  std::function<bool(uint64_t offset, std::span<const uint8_t> from)> write;

  // Of memory that the host sees.
  static Contents of(std::span<uint8_t> memory) {
    return {memory.size(),
            [memory](uint64_t offset, std::span<uint8_t> to) {
              std::memcpy(to.data(), memory.data() + offset, to.size());
              return true;
            },
            [memory](uint64_t offset, std::span<const uint8_t> from) {
              std::memcpy(memory.data() + offset, from.data(), from.size());
              return true;
            }};
  }
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::string describe() const = 0;  // "CPU (avx2), 2 threads"

  // Weights: declared with their shapes, anew as often as one likes before the first is written, then filled
  // in order of arrival. Rows are given in the file's layout and re-laid on the way; one call at a time.
  virtual void declare_weights(std::vector<Weight> weights) = 0;
  virtual void write_weight(WeightId id, int32_t first_row, int32_t n_rows, const uint8_t* data) = 0;
  virtual uint64_t weight_bytes() const = 0;
  virtual std::optional<DeviceMemory> device_memory() const { return std::nullopt; }

  // KV pages: opaque memory for kPageTokens tokens of every layer.
  virtual void set_kv(const KvShape& shape, KvType k, KvType v) = 0;
  virtual uint64_t page_bytes() const = 0;
  virtual PageId allocate_page() = 0;  // throws Error{kOutOfMemory}
  virtual void free_page(PageId page) noexcept = 0;
  virtual void copy_page(PageId to, PageId from) = 0;
  virtual Contents page_contents(PageId) { return {}; }  // all of a page in use; zeros in a new one

  // Recurrent state of one sequence, every layer. A step advances it by the rows it computes.
  virtual void set_state(const StateShape& shape) = 0;
  virtual uint64_t state_bytes() const = 0;  // 0 where the model has none
  virtual StateId allocate_state() = 0;      // as before the first token; throws Error{kOutOfMemory}
  virtual void free_state(StateId state) noexcept = 0;
  virtual void copy_state(StateId to, StateId from) = 0;
  virtual Contents state_contents(StateId) { return {}; }  // as page_contents
  // Names the order of a page's and a state's bytes and the arithmetic that fills them: where two of these
  // differ, neither reads the other's. Empty: nothing of this backend outlives the process.
  virtual std::string numerics_id() const { return ""; }

  // The plan must outlive the executable. Weights that are constants of the plan (frequency factors) are
  // read here: what is prepared before they are written tells its size, and must not be run.
  virtual std::unique_ptr<Executable> prepare(const Plan& plan, const StepLimits& limits) = 0;

  // After kDeviceLost, when no executable, page or state is left: opens the device anew. Weights are declared
  // as before and must be written again. Throws Error{kDeviceLost}, {kOutOfMemory}.
  virtual void recover() {}
};

}  // namespace moraine::plan
