// The shaders, embedded as SPIR-V, and the pipelines made of them. One pipeline layout serves all:
// 128 bytes of push constants, no descriptors.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "backend/vulkan/device.h"

namespace moraine::vulkan {

// One for each file of shaders/*.comp, by name; pipelines.cpp lists their code in this order.
enum class Shader : uint8_t {
  kAdd,
  kAttend,
  kBeginAttention,
  kDeltaInputs,
  kDeltaRule,
  kEmbed,
  kGate,
  kGather,
  kMatmul,
  kMergePartitions,
  kProducts,
  kQuantize,
  kRmsNorm,
  kRope,
  kRoute,
  kSortPairs,
  kSumExperts,
};

constexpr uint32_t kMaxPushBytes = 128;  // what every device has

// Specialization constants from 0 on; constant 0 is the number of lanes of a workgroup in every shader.
using Constants = std::vector<uint32_t>;

class Pipelines {
 public:
  // cache_folder: where the driver's compiled shaders are kept for the next start; empty: nowhere.
  Pipelines(Device& device, const std::string& cache_folder);
  ~Pipelines();
  Pipelines(const Pipelines&) = delete;
  Pipelines& operator=(const Pipelines&) = delete;

  VkPipelineLayout layout() const { return layout_; }
  // Made at the first call, some milliseconds; throws Error.
  VkPipeline get(Shader shader, const Constants& constants);
  // Keeps what was compiled, if anything was. A folder that cannot be written is no reason to fail.
  void save() noexcept;

 private:
  Device& device_;
  VkPipelineLayout layout_ = VK_NULL_HANDLE;
  VkPipelineCache cache_ = VK_NULL_HANDLE;  // null: none
  std::string cache_path_;
  size_t cache_bytes_ = 0;  // that the file holds
  std::mutex mutex_;
  std::map<std::pair<Shader, Constants>, VkPipeline> pipelines_;
};

}  // namespace moraine::vulkan
