// The Vulkan backend: weights, KV pages and recurrent states in device memory, plans recorded once and
// replayed. Owns what a model keeps on the device; how it lies there is weights.h and cache_layout.h, how a
// plan becomes dispatches executable.h.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backend/vulkan/cache_layout.h"
#include "backend/vulkan/memory.h"
#include "backend/vulkan/pipelines.h"
#include "backend/vulkan/submission.h"
#include "plan/backend.h"

namespace moraine::vulkan {

struct VulkanWeight {
  plan::Weight decl;
  Place place;              // no buffer before the first one is written
  std::vector<float> host;  // vectors only: rope's frequency factors are needed on the host
};

class VulkanBackend final : public plan::Backend {
 public:
  struct Options {
    std::string device;                 // "", "Vulkan0" or part of a description: Instance::choose
    bool allow_software = false;        // let "" choose a software device where there is no other
    std::string shader_cache;           // a folder where compiled shaders are kept; empty: none
    MessageFn on_validation_message;    // not empty: run under the validation layers (tests)
    uint64_t memory_limit_bytes = 0;    // never say that more of its memory may be used; 0: what is free
    uint64_t arena_bytes = 1ull << 30;  // of weights; more would meet drivers' limits on allocations
    bool unmapped_memory = false;       // keep device memory from the host, as a discrete GPU does (tests)
    bool fuse = true;                   // ops that may go together in one dispatch do (tests)
    uint32_t lanes = 0;                 // of a workgroup: 8, 32 or 64; 0: as the device's subgroups (tests)
    double slice_seconds = kSliceSeconds;  // that one submission should take at most
    ApiHook change_api;                    // tests
  };
  // Throws Error: no Vulkan, no such device, a device that lacks what the shaders need.
  explicit VulkanBackend(const Options& options);
  ~VulkanBackend() override;

  std::string describe() const override;                      // "Vulkan0 (AMD Radeon 8060S)"
  const std::string& name() const { return physical_.name; }  // "Vulkan0"
  // Memory for weights is taken when the first one is written: until then declarations tell what they need.
  void declare_weights(std::vector<plan::Weight> weights) override;
  void write_weight(plan::WeightId id, int32_t first_row, int32_t n_rows, const uint8_t* data) override;
  uint64_t weight_bytes() const override { return packing_.total(); }
  std::optional<plan::DeviceMemory> device_memory() const override;

  void set_kv(const plan::KvShape& shape, KvType k, KvType v) override;
  uint64_t page_bytes() const override { return pages_.piece_bytes(); }
  plan::PageId allocate_page() override;
  void free_page(plan::PageId page) noexcept override {
    if (page_bytes() > 0) pages_.free(page);
  }
  void copy_page(plan::PageId to, plan::PageId from) override;
  plan::Contents page_contents(plan::PageId page) override;

  void set_state(const plan::StateShape& shape) override;
  uint64_t state_bytes() const override { return states_.piece_bytes(); }
  plan::StateId allocate_state() override;
  void free_state(plan::StateId state) noexcept override {
    if (state_bytes() > 0) states_.free(state);
  }
  void copy_state(plan::StateId to, plan::StateId from) override;
  plan::Contents state_contents(plan::StateId state) override;
  std::string numerics_id() const override;

  std::unique_ptr<plan::Executable> prepare(const plan::Plan& plan, const plan::StepLimits& limits) override;
  void recover() override;

  // For the executable.
  Device& device() { return opened().device; }
  Pipelines& pipelines() { return opened().pipelines; }
  Transfers& transfers() { return opened().transfers; }
  const VulkanWeight& weight(plan::WeightId id) const { return weights_[id]; }
  // Whether weights have their place: an executable prepared earlier only tells its size.
  bool has_weights() const { return has_weights_; }
  uint64_t page_address(plan::PageId id) const { return pages_.place(id).address(); }
  uint64_t state_address(plan::StateId id) const { return states_.place(id).address(); }
  const plan::KvLayout& kv() const { return kv_; }
  const StateLayout& state_layout() const { return state_layout_; }
  KvType kv_type_k() const { return kv_k_; }
  KvType kv_type_v() const { return kv_v_; }
  uint32_t lanes() const;  // of a workgroup
  bool fuses() const { return options_.fuse; }
  double slice_seconds() const { return options_.slice_seconds; }
  MemoryUse memory_use() const {
    return options_.unmapped_memory ? MemoryUse::kDeviceUnmapped : MemoryUse::kDevice;
  }

 private:
  // All that is lost with a device.
  struct Opened {
    Opened(const Instance& instance, const PhysicalDevice& physical, const Options& options)
        : device(instance, physical, options.change_api),
          pipelines(device, options.shader_cache),
          transfers(device) {}
    Device device;
    Pipelines pipelines;
    Transfers transfers;
    std::vector<std::unique_ptr<Buffer>> arenas;  // of weights
  };
  Opened& opened() const;  // throws Error{kDeviceLost} where it could not be opened anew
  void place_weights();
  plan::Contents contents(const Place& place, uint64_t bytes);

  Options options_;
  Instance instance_;
  PhysicalDevice physical_;
  std::unique_ptr<Opened> opened_;  // null after recover() failed

  std::vector<VulkanWeight> weights_;
  Packing packing_;
  bool has_weights_ = false;

  KvType kv_k_ = KvType::kF16, kv_v_ = KvType::kF16;
  plan::KvLayout kv_;
  StateLayout state_layout_;
  DeviceSlots pages_, states_;
};

}  // namespace moraine::vulkan
