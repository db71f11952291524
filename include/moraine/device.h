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

struct DeviceOptions {
  // "Vulkan0", or a part of a GPU's description; "none": the CPU. Empty: the first real GPU, where gpu_layers
  // asks for one. A device that a driver only imitates on the CPU is taken by its name alone.
  std::string name;
  // The last so many layers run on the GPU; the product with the vocabulary counts as one, the last.
  // Nothing: all that fit on a device that is named, else none.
  std::optional<int32_t> gpu_layers;
  // Where compiled shaders are kept for the next start; empty: nowhere.
  std::string shader_cache;
};

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
