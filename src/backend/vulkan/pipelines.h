// The shaders, embedded as SPIR-V, and the pipelines made of them. One pipeline layout serves all:
// 128 bytes of push constants, no descriptors.
#pragma once

#include <array>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "backend/vulkan/device.h"

namespace moraine::vulkan {

enum class Shader : uint8_t { kEmbed, kRmsNorm, kMatmul, kGatedFfn, kRope, kStoreKv, kAttend, kAdd, kGather };

constexpr uint32_t kMaxPushBytes = 128;  // what every device has

// Specialization constants 0 and 1.
using Constants = std::array<uint32_t, 2>;

class Pipelines {
 public:
  // cache_folder: where the driver's compiled shaders are kept for the next start; empty: nowhere.
  Pipelines(Device& device, const std::string& cache_folder);
  ~Pipelines();
  Pipelines(const Pipelines&) = delete;
  Pipelines& operator=(const Pipelines&) = delete;

  VkPipelineLayout layout() const { return layout_; }
  // Made at the first call, some milliseconds; throws Error.
  VkPipeline get(Shader shader, Constants constants = {});
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
