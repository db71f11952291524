// A plan made ready for Vulkan: one command buffer, recorded once and replayed by every step. The
// number of rows stays symbolic in it: each dispatch takes its y from a record in the step buffer
// (indirect dispatch), and shaders that handle several rows at once read the count there.
// executable.cpp fills the step buffer and submits, in slices (submission.h); record.cpp turns ops into
// dispatches. Prepared before the weights have their place it knows its size and takes no memory.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "backend/vulkan/backend.h"
#include "backend/vulkan/recorder.h"
#include "backend/vulkan/submission.h"
#include "plan/rope.h"

namespace moraine::vulkan {

// What a step says, in one host-written buffer. Offsets in bytes.
struct StepLayout {
  uint64_t counts = 0;          // int32 rows, outputs
  uint64_t arguments = 0;       // VkDispatchIndirectCommand by dispatch
  uint64_t tokens = 0;          // int32 [max_rows]
  uint64_t positions = 0;       // int32 [max_rows]
  uint64_t tables = 0;          // int32 [max_rows]: where in `pages` the row's sequence begins
  uint64_t output_rows = 0;     // int32 [max_outputs]
  uint64_t pages = 0;           // uint64 device addresses
  uint64_t max_pages = 0;       // entries there
  std::vector<uint64_t> ropes;  // float [max_rows][2][n_pairs] by rope table
  uint64_t size = 0;
};

class VulkanExecutable final : public plan::Executable {
 public:
  VulkanExecutable(VulkanBackend& backend, const plan::Plan& plan, const plan::StepLimits& limits);

  uint64_t scratch_bytes() const override { return bytes_; }
  uint64_t device_scratch_bytes() const override { return bytes_; }
  void keep(std::span<const int32_t>) noexcept override {}  // no recurrent layers yet
  plan::Status submit(const plan::Step& step, float* logits, int64_t logits_stride) noexcept override;

  int32_t n_dispatches() const { return static_cast<int32_t>(grids_.size()); }
  int32_t n_barriers() const { return n_barriers_; }
  const Submission& submission() const { return submission_; }  // how the last step went

 private:
  friend class OpRecorder;

  // How many workgroups a dispatch has: x, and one for each rows_per_group rows.
  struct Grid {
    uint32_t x;
    plan::Extent extent;
    uint32_t rows_per_group;
  };
  struct RopeTable {
    plan::RopeParams params;
    std::vector<float> freq;
  };

  void find_ropes();
  void lay_out_step();
  void record();  // record.cpp
  size_t rope_index(const plan::RopeParams& params) const;
  void write_step(const plan::Step& step) noexcept;
  template <class T>
  T* in_step(uint64_t offset) {
    return reinterpret_cast<T*>(step_buffer_->mapped() + offset);
  }

  VulkanBackend& backend_;
  const plan::Plan& plan_;
  plan::StepLimits limits_;
  plan::ScratchLayout scratch_layout_;
  std::vector<RopeTable> ropes_;
  StepLayout step_;
  std::vector<Grid> grids_;  // by dispatch
  std::unique_ptr<Buffer> scratch_, step_buffer_, logits_;
  CommandList commands_;  // pieces of the recording, in order
  Submission submission_;
  std::optional<SliceClock> clock_;  // of commands_, once they are recorded
  uint64_t bytes_ = 0;               // of scratch, step inputs and logits
  int32_t n_barriers_ = 0;
  bool reads_cache_ = false;  // without attention a step needs no page tables
};

}  // namespace moraine::vulkan
