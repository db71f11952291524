// Test support: which device the tests run on.
#pragma once

#include <gtest/gtest.h>

#include <optional>
#include <string>

#include "backend/vulkan/backend.h"
#include "backend/vulkan/device.h"

namespace moraine::vulkan {

// Software Vulkan where there is one, so that every machine tests the same thing; else the first device
// that is usable; nothing without a driver. Tests skip then, visibly.
inline std::optional<std::string> test_device() {
  std::optional<std::string> found;
  for (const PhysicalDevice& d : all_devices()) {
    if (!d.missing.empty()) continue;
    if (d.software) return d.name;
    if (!found) found = d.name;
  }
  return found;
}

inline constexpr char kNoDevice[] = "no usable Vulkan device: install mesa-vulkan-drivers for a software one";

// What runs on that device, or is skipped.
class DeviceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto device = test_device();
    if (!device) GTEST_SKIP() << kNoDevice;
    options_.device = *device;
  }
  VulkanBackend::Options options_;
};

}  // namespace moraine::vulkan
