// Where a model runs: how a device is named and how much of a model it gets, and the devices there are.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

namespace moraine {

constexpr int32_t kAllLayers = std::numeric_limits<int32_t>::max();
constexpr int32_t kLayersThatFit = -1;

// Tensors whose names match lie there, whatever their layers do; the operations that use them run there too.
struct TensorOverride {
  std::string pattern;  // a regular expression (ECMAScript) that is found anywhere in the name
  std::string device;   // "CPU", or the name of the GPU in use
};

struct DeviceOptions {
  // "Vulkan0", or a part of a GPU's description; "none": the CPU. Empty: the first real GPU, where gpu_layers
  // asks for one. A device that a driver only imitates on the CPU is taken by its name alone.
  std::string name;
  // The last so many layers run on the GPU; the product with the vocabulary counts as one, the last.
  // Nothing: all that fit on a device that is named, else none.
  std::optional<int32_t> gpu_layers;
  // The experts of the first so many layers run on the CPU. Nothing: none, or those that do not fit.
  std::optional<int32_t> cpu_expert_layers;
  std::vector<TensorOverride> overrides;  // of several that match, the first counts, before all of the above
  // Whether less goes to the GPU where what is asked for does not fit there: experts stay on the CPU first,
  // then whole layers. False: what does not fit is an error.
  bool fit = true;
  uint64_t fit_margin_bytes = 1ull << 30;  // of the GPU's memory that choosing what fits leaves alone
  int32_t fit_ctx = 8192;           // tokens of context that there must be room for, where none is asked
  uint64_t memory_limit_bytes = 0;  // of the GPU's memory, never take more; 0: what is free
  uint64_t reserved_bytes = 0;      // of it, for others of this program
  // Where compiled shaders are kept for the next start; empty: nowhere.
  std::string shader_cache;
};

// Whether anything of a model shall run on a GPU by these options.
bool wants_gpu(const DeviceOptions& options);

struct DeviceInfo {
  std::string name;            // "Vulkan0", by order of discovery
  std::string description;     // "AMD Radeon 8060S (RADV GFX1151)"
  std::string missing;         // what it lacks to be used here; empty: nothing
  bool software = false;       // imitated on the CPU
  bool system_memory = false;  // its memory is the system's
  uint64_t memory_bytes = 0;
  uint64_t free_bytes = 0;  // that this process may take
};
// Devices beside the CPU; empty where there is no driver, or this build knows none.
std::vector<DeviceInfo> list_devices();

}  // namespace moraine
