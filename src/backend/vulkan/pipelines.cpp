#include "backend/vulkan/pipelines.h"

#include <span>
#include <vector>

#include "backend/vulkan/pipeline_cache.h"

namespace moraine::vulkan {
namespace {

// clang-format off
constexpr uint32_t kAddCode[] = {
#include "add.inc"
};
constexpr uint32_t kAttendCode[] = {
#include "attend.inc"
};
constexpr uint32_t kBeginAttentionCode[] = {
#include "begin_attention.inc"
};
constexpr uint32_t kDeltaInputsCode[] = {
#include "delta_inputs.inc"
};
constexpr uint32_t kDeltaRuleCode[] = {
#include "delta_rule.inc"
};
constexpr uint32_t kEmbedCode[] = {
#include "embed.inc"
};
constexpr uint32_t kGateCode[] = {
#include "gate.inc"
};
constexpr uint32_t kGatherCode[] = {
#include "gather.inc"
};
constexpr uint32_t kMatmulCode[] = {
#include "matmul.inc"
};
constexpr uint32_t kMergePartitionsCode[] = {
#include "merge_partitions.inc"
};
constexpr uint32_t kProductsCode[] = {
#include "products.inc"
};
constexpr uint32_t kQuantizeCode[] = {
#include "quantize.inc"
};
constexpr uint32_t kRmsNormCode[] = {
#include "rms_norm.inc"
};
constexpr uint32_t kRopeCode[] = {
#include "rope.inc"
};
constexpr uint32_t kRouteCode[] = {
#include "route.inc"
};
constexpr uint32_t kSortPairsCode[] = {
#include "sort_pairs.inc"
};
constexpr uint32_t kSumExpertsCode[] = {
#include "sum_experts.inc"
};
// clang-format on

constexpr std::span<const uint32_t> kCode[] = {
    kAddCode,     kAttendCode, kBeginAttentionCode, kDeltaInputsCode,     kDeltaRuleCode, kEmbedCode,
    kGateCode,    kGatherCode, kMatmulCode,         kMergePartitionsCode, kProductsCode,  kQuantizeCode,
    kRmsNormCode, kRopeCode,   kRouteCode,          kSortPairsCode,       kSumExpertsCode};

}  // namespace

Pipelines::Pipelines(Device& device, const std::string& cache_folder)
    : device_(device), cache_path_(pipeline_cache_path(cache_folder, device.physical())) {
  VkPushConstantRange push = {VK_SHADER_STAGE_COMPUTE_BIT, 0, kMaxPushBytes};
  VkPipelineLayoutCreateInfo info = {VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO};
  info.pushConstantRangeCount = 1;
  info.pPushConstantRanges = &push;
  check(device.api().CreatePipelineLayout(device.handle(), &info, nullptr, &layout_),
        "making a pipeline layout");
  if (cache_path_.empty()) return;
  const std::vector<std::byte> kept = read_pipeline_cache(cache_path_, device.physical());
  cache_bytes_ = kept.size();
  VkPipelineCacheCreateInfo cache = {VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO};
  cache.initialDataSize = kept.size();
  cache.pInitialData = kept.data();
  if (device.api().CreatePipelineCache(device.handle(), &cache, nullptr, &cache_) != VK_SUCCESS)
    cache_ = VK_NULL_HANDLE;  // slower, and no worse
}

Pipelines::~Pipelines() {
  for (const auto& [key, pipeline] : pipelines_)
    device_.api().DestroyPipeline(device_.handle(), pipeline, nullptr);
  device_.api().DestroyPipelineCache(device_.handle(), cache_, nullptr);
  device_.api().DestroyPipelineLayout(device_.handle(), layout_, nullptr);
}

VkPipeline Pipelines::get(Shader shader, const Constants& constants) {
  const std::lock_guard lock(mutex_);
  VkPipeline& pipeline = pipelines_[{shader, constants}];
  if (pipeline) return pipeline;
  const DeviceApi& api = device_.api();
  const std::span<const uint32_t> code = kCode[static_cast<int>(shader)];
  VkShaderModuleCreateInfo module_info = {VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO};
  module_info.codeSize = code.size_bytes();
  module_info.pCode = code.data();
  VkShaderModule module = VK_NULL_HANDLE;
  check(api.CreateShaderModule(device_.handle(), &module_info, nullptr, &module), "loading a shader");

  std::vector<VkSpecializationMapEntry> entries;
  for (uint32_t i = 0; i < constants.size(); ++i) entries.push_back({i, 4 * i, 4});
  const VkSpecializationInfo specialization = {static_cast<uint32_t>(entries.size()), entries.data(),
                                               4 * constants.size(), constants.data()};
  VkComputePipelineCreateInfo info = {VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO};
  info.stage.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO;
  info.stage.stage = VK_SHADER_STAGE_COMPUTE_BIT;
  info.stage.module = module;
  info.stage.pName = "main";
  info.stage.pSpecializationInfo = &specialization;
  info.layout = layout_;
  const VkResult r = api.CreateComputePipelines(device_.handle(), cache_, 1, &info, nullptr, &pipeline);
  api.DestroyShaderModule(device_.handle(), module, nullptr);
  check(r, "compiling a shader");
  return pipeline;
}

void Pipelines::save() noexcept try {
  const std::lock_guard lock(mutex_);
  size_t size = 0;
  if (!cache_ || device_.api().GetPipelineCacheData(device_.handle(), cache_, &size, nullptr) != VK_SUCCESS ||
      size == cache_bytes_)
    return;
  std::vector<std::byte> data(size);
  if (device_.api().GetPipelineCacheData(device_.handle(), cache_, &size, data.data()) != VK_SUCCESS) return;
  data.resize(size);
  if (write_pipeline_cache(cache_path_, data)) cache_bytes_ = size;
} catch (const std::exception&) {  // no memory for it: the next start compiles again
}

}  // namespace moraine::vulkan
