// Records dispatches into a command buffer, with a barrier only where one depends on another since the
// last barrier. Knows nothing of plans: what is dispatched is op_recorder.h.
#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <vector>

#include "backend/vulkan/pipelines.h"

namespace moraine::vulkan {

// Bytes of device memory, [begin, end).
struct Range {
  uint64_t begin = 0, end = 0;
};

// Decides where barriers go. By bytes and not by value: values whose lifetimes do not meet share bytes.
class HazardTracker {
 public:
  // Whether something that reads and writes these must wait for what was noted before; notes them. A
  // true answer forgets everything earlier, as the barrier it asks for settles it.
  bool add(std::initializer_list<Range> reads, std::initializer_list<Range> writes);

 private:
  std::vector<Range> reads_, writes_;
};

// What a step has so many of; the order of the step buffer's counts.
enum class Count : uint8_t { kRows, kOutputs, kSequences };
constexpr int kNumCounts = 3;

// How many workgroups a dispatch has, told when a step is submitted: x; y = height(); z = 1 or the step's
// partitions of keys.
struct Grid {
  uint32_t x = 1;
  Count count = Count::kRows;
  uint32_t times = 1, per = 1;
  uint32_t n_experts = 0;  // not 0: a tile of `per` pairs may end early, once for each expert that was chosen
  bool by_partition = false;
  uint64_t weight_bytes = 0;  // of matrices, that each row of workgroups reads

  // Of a step that has n of `count`; of experts' tiles the most there may be.
  uint32_t height(uint64_t n) const {
    n *= times;
    if (n_experts == 0) return static_cast<uint32_t>((n + per - 1) / per);
    return static_cast<uint32_t>(std::min(n, n / per + std::min<uint64_t>(n, n_experts)));
  }
};

// A dispatch takes its grid from an indirect-dispatch record of the step buffer.
struct Dispatch {
  VkPipeline pipeline;
  uint64_t arguments_offset;  // of its VkDispatchIndirectCommand in the step buffer
};

class Recorder {
 public:
  Recorder(Device& device, VkPipelineLayout layout, CommandList& list, VkBuffer step_buffer)
      : device_(device), layout_(layout), list_(list), step_buffer_(step_buffer) {}
  // What earlier submissions wrote (keys and values, uploads) may be read.
  void start();
  // A place where a long step may be cut into submissions: the next dispatch begins another command buffer.
  // Barriers hold across them, as all go to one queue in order.
  void cut();
  // A place where the host waits, reads and writes before it submits what follows.
  void pause();

  template <class Push>
  void dispatch(const Dispatch& d, const Push& push, std::initializer_list<Range> reads,
                std::initializer_list<Range> writes) {
    static_assert(sizeof(Push) <= kMaxPushBytes && sizeof(Push) % 4 == 0);
    record(d, &push, sizeof push, reads, writes);
  }
  // What the device wrote may be read by the host once the submission has ended.
  void finish();

  int32_t n_dispatches() const { return n_dispatches_; }
  int32_t n_barriers() const { return n_barriers_; }

 private:
  void record(const Dispatch& d, const void* push, uint32_t push_bytes, std::initializer_list<Range> reads,
              std::initializer_list<Range> writes);
  void barrier(VkPipelineStageFlags from, VkAccessFlags written, VkPipelineStageFlags to,
               VkAccessFlags access);

  Device& device_;
  VkPipelineLayout layout_;
  CommandList& list_;
  VkCommandBuffer commands_ = VK_NULL_HANDLE;  // the last one of list_
  VkBuffer step_buffer_;
  HazardTracker hazards_;
  VkPipeline bound_ = VK_NULL_HANDLE;
  int32_t n_dispatches_ = 0, n_barriers_ = 0;
};

}  // namespace moraine::vulkan
