#include "backend/vulkan/recorder.h"

#include <algorithm>

namespace moraine::vulkan {
namespace {

constexpr VkPipelineStageFlags kCompute = VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT;
constexpr VkAccessFlags kReadWrite = VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT;

bool meet(const std::vector<Range>& before, std::initializer_list<Range> now) {
  for (const Range& a : before)
    for (const Range& b : now)
      if (a.begin < b.end && b.begin < a.end) return true;
  return false;
}

}  // namespace

bool HazardTracker::add(std::initializer_list<Range> reads, std::initializer_list<Range> writes) {
  const bool wait = meet(writes_, reads) || meet(writes_, writes) || meet(reads_, writes);
  if (wait) reads_.clear(), writes_.clear();
  reads_.insert(reads_.end(), reads);
  writes_.insert(writes_.end(), writes);
  return wait;
}

void Recorder::barrier(VkPipelineStageFlags from, VkAccessFlags written, VkPipelineStageFlags to,
                       VkAccessFlags access) {
  VkMemoryBarrier b = {VK_STRUCTURE_TYPE_MEMORY_BARRIER};
  b.srcAccessMask = written;
  b.dstAccessMask = access;
  device_.api().CmdPipelineBarrier(commands_, from, to, 0, 1, &b, 0, nullptr, 0, nullptr);
  ++n_barriers_;
}

void Recorder::start() {
  commands_ = list_.begin();
  barrier(kCompute | VK_PIPELINE_STAGE_TRANSFER_BIT,
          VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT, kCompute, kReadWrite);
}

void Recorder::cut() {
  list_.end();
  commands_ = list_.begin();
  bound_ = VK_NULL_HANDLE;
}

void Recorder::pause() {
  finish();
  start();
  bound_ = VK_NULL_HANDLE;
}

void Recorder::record(const Dispatch& d, const void* push, uint32_t push_bytes,
                      std::initializer_list<Range> reads, std::initializer_list<Range> writes) {
  if (hazards_.add(reads, writes)) barrier(kCompute, VK_ACCESS_SHADER_WRITE_BIT, kCompute, kReadWrite);
  const DeviceApi& api = device_.api();
  if (bound_ != d.pipeline) api.CmdBindPipeline(commands_, VK_PIPELINE_BIND_POINT_COMPUTE, d.pipeline);
  bound_ = d.pipeline;
  api.CmdPushConstants(commands_, layout_, VK_SHADER_STAGE_COMPUTE_BIT, 0, push_bytes, push);
  api.CmdDispatchIndirect(commands_, step_buffer_, d.arguments_offset);
  ++n_dispatches_;
}

void Recorder::finish() {
  barrier(kCompute, VK_ACCESS_SHADER_WRITE_BIT, VK_PIPELINE_STAGE_HOST_BIT, VK_ACCESS_HOST_READ_BIT);
  list_.end();
}

}  // namespace moraine::vulkan
