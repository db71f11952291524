// A driver's compiled shaders on disk. Drivers trust these bytes as they trust their own code, so a file is
// read only if nobody but this user can have written it, and its checksum and the driver's own header agree.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "backend/vulkan/device.h"

namespace moraine::vulkan {

// The file of this device and driver; "" for no folder.
std::string pipeline_cache_path(const std::string& folder, const PhysicalDevice& device);
// Nothing where there is no file, or one that may not be trusted.
std::vector<std::byte> read_pipeline_cache(const std::string& path, const PhysicalDevice& device);
// Makes the folder where it is missing. False where it could not be written.
bool write_pipeline_cache(const std::string& path, std::span<const std::byte> data);

}  // namespace moraine::vulkan
