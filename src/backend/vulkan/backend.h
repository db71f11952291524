// The Vulkan backend: weights and KV pages in device memory, plans recorded once and replayed. Owns
// what a model keeps on the device; how a plan becomes dispatches is executable.h.
//
// Weights lie as float32, whatever the file holds (quantised formats are unpacked at load): right, and
// not yet fast. Activations are float32; the cache is f16 or f32.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backend/vulkan/memory.h"
#include "backend/vulkan/pipelines.h"
#include "plan/backend.h"

namespace moraine::vulkan {

struct VulkanWeight {
  plan::Weight decl;
  Place place;              // float32 [rows][cols]
  std::vector<float> host;  // vectors only: rope's frequency factors are needed on the host
};

class VulkanBackend final : public plan::Backend {
 public:
  struct Options {
    std::string device;                 // "", "Vulkan0" or part of a description: Instance::choose
    bool allow_software = false;        // let "" choose a software device where there is no other
    MessageFn on_validation_message;    // not empty: run under the validation layer (tests)
    uint64_t arena_bytes = 1ull << 30;  // of weights; more would meet drivers' limits on allocations
    bool unmapped_memory = false;       // keep device memory from the host, as a discrete GPU does (tests)
  };
  // Throws Error: no Vulkan, no such device, a device that lacks what the shaders need.
  explicit VulkanBackend(const Options& options);
  ~VulkanBackend() override;

  std::string describe() const override;  // "Vulkan0 (AMD Radeon 8060S)"
  void declare_weights(std::vector<plan::Weight> weights) override;
  void write_weight(plan::WeightId id, int32_t first_row, int32_t n_rows, const uint8_t* data) override;
  uint64_t weight_bytes() const override;

  void set_kv(const plan::KvShape& shape, KvType k, KvType v) override;
  uint64_t page_bytes() const override { return page_bytes_; }
  plan::PageId allocate_page() override;
  void free_page(plan::PageId page) noexcept override { free_pages_.push_back(page); }
  void copy_page(plan::PageId to, plan::PageId from) override;

  void set_state(const plan::StateShape& shape) override;
  uint64_t state_bytes() const override { return 0; }
  plan::StateId allocate_state() override { return 0; }
  void free_state(plan::StateId) noexcept override {}
  void copy_state(plan::StateId, plan::StateId) override {}

  std::unique_ptr<plan::Executable> prepare(const plan::Plan& plan, const plan::StepLimits& limits) override;

  // For the executable.
  Device& device() { return device_; }
  Pipelines& pipelines() { return pipelines_; }
  const VulkanWeight& weight(plan::WeightId id) const { return weights_[id]; }
  uint64_t page_address(plan::PageId id) const { return pages_[id].address(); }
  struct KvLayer {
    uint64_t k, v;  // bytes from a page's start to the first head's keys, values
  };
  const KvLayer& kv_layer(int32_t layer) const { return kv_layers_[layer]; }
  Constants kv_formats() const;  // of store_kv and attend (shaders/kv.glsl)
  MemoryUse memory_use() const {
    return options_.unmapped_memory ? MemoryUse::kDeviceUnmapped : MemoryUse::kDevice;
  }

 private:
  Options options_;
  Instance instance_;
  Device device_;
  Pipelines pipelines_;
  std::unique_ptr<Uploader> uploader_;  // null while everything is mapped

  std::vector<VulkanWeight> weights_;
  std::vector<std::unique_ptr<Buffer>> weight_arenas_;

  std::vector<KvLayer> kv_layers_;
  KvType kv_k_ = KvType::kF16, kv_v_ = KvType::kF16;
  uint64_t page_bytes_ = 0;
  // Pages come in slabs, as drivers allow only some thousands of allocations; a slab stays until the end.
  std::vector<std::unique_ptr<Buffer>> page_slabs_;
  std::vector<Place> pages_;  // by PageId
  std::vector<plan::PageId> free_pages_;
};

}  // namespace moraine::vulkan
