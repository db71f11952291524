// A plan made ready for Vulkan: recorded once and replayed by every step. The number of rows stays symbolic:
// each dispatch takes its extent from a record in the step buffer (indirect dispatch), and shaders that
// handle several rows at once read the count there. There are two recordings, of the same arithmetic: one for
// few rows (decoding, verification), which gives each partition of a long context a workgroup, and one for
// many. executable.cpp fills the step buffer and submits, in slices (submission.h); record*.cpp turn ops into
// dispatches. Prepared before the weights have their place it knows its size and takes no memory.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "backend/vulkan/backend.h"
#include "backend/vulkan/fuse.h"
#include "backend/vulkan/recorder.h"
#include "backend/vulkan/submission.h"
#include "plan/rope.h"

namespace moraine::vulkan {

// A sequence of a step, as shaders read it (common.glsl).
struct SequenceInfo {
  int32_t first, n;  // its rows in the step
  int32_t n_sure;    // of these, the first ones: the others are tentative
  int32_t table;     // where its pages begin in `pages`
  int32_t record;    // where its tentative rows are recorded
  int32_t unused;
  uint64_t state;  // address
};
static_assert(sizeof(SequenceInfo) == 32);

// What a step says, in one host-written buffer. Offsets in bytes.
struct StepLayout {
  uint64_t counts = 0;          // int32 by Count
  uint64_t arguments = 0;       // VkDispatchIndirectCommand by dispatch
  uint64_t tokens = 0;          // int32 [max_rows]
  uint64_t positions = 0;       // int32 [max_rows]
  uint64_t sequence_of = 0;     // int32 [max_rows]: into sequences
  uint64_t sequences = 0;       // SequenceInfo [max_rows]
  uint64_t output_rows = 0;     // int32 [max_outputs]
  uint64_t pages = 0;           // uint64 device addresses
  uint64_t max_pages = 0;       // entries there
  std::vector<uint64_t> ropes;  // float [max_rows][2][n_pairs] by rope table
  uint64_t size = 0;
};

// Scratch besides values: what one op leaves for its own next dispatch. Offsets in bytes from its begin.
struct WorkLayout {
  static constexpr int kQuantSlots = 4;
  uint64_t quant = 0, quant_slot_bytes = 0;  // rows as int8 (shaders/quantized.glsl)
  uint64_t partials = 0;                     // of attention by partition
  int32_t most_partitions = 1;
  // Experts, by pair or place: record_moe.cpp.
  uint64_t expert = 0, expert_weight = 0, pair_at = 0, place = 0, tiles = 0, hidden = 0, hidden_quant = 0,
           products = 0;
  uint64_t heads = 0, gates = 0;  // of the delta rule: record_delta_net.cpp
  uint64_t size = 0;
};

class VulkanExecutable final : public plan::Executable {
 public:
  VulkanExecutable(VulkanBackend& backend, const plan::Plan& plan, const plan::StepLimits& limits);

  uint64_t scratch_bytes() const override { return bytes_; }
  uint64_t device_scratch_bytes() const override { return bytes_; }
  plan::Status submit(const plan::Step& step, float* logits, int64_t logits_stride) noexcept override;
  plan::Status resume() noexcept override;
  void keep(std::span<const int32_t> rows) noexcept override;
  float* exchange(plan::ValueId v) noexcept override;

  // Of a step of this many rows.
  int32_t n_dispatches(int32_t rows) const { return static_cast<int32_t>(recording_for(rows).grids.size()); }
  int32_t n_barriers(int32_t rows) const { return recording_for(rows).n_barriers; }
  // Of matrices, as the dispatches of a step are laid out; of experts at most. Bytes.
  uint64_t weight_bytes_read(int32_t rows, int32_t outputs) const;
  const Submission& submission() const { return submission_; }  // how the last step went

 private:
  friend class OpRecorder;

  struct RopeTable {
    plan::RopeParams params;
    std::vector<float> freq;
  };
  struct Recording {
    explicit Recording(Device& device) : commands(device) {}
    CommandList commands;             // pieces, in order
    std::vector<size_t> pauses;       // by pause: how many pieces come before it
    std::optional<SliceClock> clock;  // of commands, once they are recorded
    std::vector<Grid> grids;          // by dispatch
    int32_t n_barriers = 0;
  };
  // Where a delta net's tentative rows are recorded: its inputs, as they lie in the step.
  struct DeltaRecord {
    uint64_t qkv = 0, a = 0, b = 0;  // offsets in records_
  };
  // What the last step left tentative, by its sequences.
  struct Tentative {
    plan::StateId state;
    int32_t record, n;
  };

  void find_ropes();
  void lay_out_step();
  void lay_out_work();
  void lay_out_records();
  void record(Recording& recording, bool few);
  void record_keep();
  const Recording& recording_for(int32_t rows) const;
  uint64_t address_of(plan::ValueId v) const;
  VkResult run_part(Recording& recording, size_t part) noexcept;
  void read_logits() noexcept;
  size_t rope_index(const plan::RopeParams& params) const;
  void write_step(const plan::Step& step, const Recording& recording) noexcept;
  int32_t write_sequences(const plan::Step& step) noexcept;  // how many there are
  void write_counts(const Recording& recording) noexcept;
  template <class T>
  T* in_step(uint64_t offset) {
    return reinterpret_cast<T*>(step_buffer_->mapped() + offset);
  }

  VulkanBackend& backend_;
  const plan::Plan& plan_;
  plan::StepLimits limits_;
  std::vector<Fused> fused_;  // the plan's ops
  plan::ScratchLayout scratch_layout_;
  // Values that pauses give and take lie in memory that the host reads well, each for as long as it lives.
  std::vector<bool> exchanged_;  // by value
  plan::ScratchLayout exchange_layout_;
  WorkLayout work_;
  std::vector<DeltaRecord> delta_records_;  // by op in the order of the plan; empty without tentative rows
  uint64_t records_bytes_ = 0;
  std::vector<RopeTable> ropes_;
  StepLayout step_;
  int32_t counts_[kNumCounts] = {};  // of the step that is being submitted
  int32_t n_partitions_ = 1;         // of its longest sequence
  std::vector<Tentative> tentative_;
  // The step that runs, between submit and the last resume.
  struct Running {
    Recording* recording = nullptr;
    size_t part = 0;  // that comes next
    float* logits = nullptr;
    int64_t logits_stride = 0;
  } running_;
  Submission submission_;
  uint64_t bytes_ = 0;  // of scratch, step inputs, records, exchanged values and logits
  std::unique_ptr<Buffer> scratch_, step_buffer_, exchange_, logits_, records_;
  std::unique_ptr<Recording> few_, many_, keep_;  // many_, keep_: null where limits leave no need
  bool reads_cache_ = false;                      // without attention a step needs no page tables
  bool has_state_ = false;
};

}  // namespace moraine::vulkan
