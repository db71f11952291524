// The Vulkan instance, the devices it offers, and the one device a backend runs on: its queue, its
// features, one-off submissions. Memory is memory.h, pipelines are pipelines.h.
#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "backend/vulkan/api.h"

namespace moraine::vulkan {

using MessageFn = std::function<void(const std::string&)>;

struct PhysicalDevice {
  VkPhysicalDevice handle = VK_NULL_HANDLE;
  std::string name;         // "Vulkan0": by order of discovery, as llama.cpp names them
  std::string description;  // "AMD Radeon 8060S (RADV GFX1151)"
  bool software = false;    // runs on the CPU (lavapipe)
  std::string missing;      // what it lacks to run here, "" if nothing: "buffer device addresses"
  uint32_t queue_family = 0;
  uint64_t memory_bytes = 0;  // of its device-local heaps
  uint64_t max_allocation_bytes = 0;
  uint32_t subgroup_size = 1;  // the usual one; a pipeline may get another unless it asks
};

class Instance {
 public:
  // on_validation_message: not empty turns on the Khronos validation layer and receives what it says.
  // Throws Error{kUnavailable}: no loader, no driver, no validation layer.
  explicit Instance(MessageFn on_validation_message = {});
  ~Instance();
  Instance(const Instance&) = delete;
  Instance& operator=(const Instance&) = delete;

  const InstanceApi& api() const { return api_; }
  const std::vector<PhysicalDevice>& devices() const { return devices_; }
  // wanted: "" (the first real GPU), "Vulkan1", or part of a description. A software device is chosen
  // only by name, or where allow_software is set and nothing else is there. Throws
  // Error{kInvalidArgument} or {kUnavailable}, naming the devices there are.
  const PhysicalDevice& choose(const std::string& wanted, bool allow_software) const;

 private:
  void find_devices();

  Library library_;
  InstanceApi api_;
  VkInstance instance_ = VK_NULL_HANDLE;
  VkDebugUtilsMessengerEXT messenger_ = VK_NULL_HANDLE;
  MessageFn on_message_;
  std::vector<PhysicalDevice> devices_;
};

class Device {
 public:
  Device(const Instance& instance, const PhysicalDevice& physical);
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  const DeviceApi& api() const { return api_; }
  VkDevice handle() const { return device_; }
  const PhysicalDevice& physical() const { return physical_; }
  const VkPhysicalDeviceMemoryProperties& memory() const { return memory_; }
  uint32_t max_workgroups_x() const { return max_workgroups_x_; }

  // Submits and returns; threads may call it at once.
  VkResult submit(VkCommandBuffer commands, VkFence fence) noexcept;

 private:
  PhysicalDevice physical_;
  DeviceApi api_;
  VkDevice device_ = VK_NULL_HANDLE;
  VkQueue queue_ = VK_NULL_HANDLE;
  VkPhysicalDeviceMemoryProperties memory_ = {};
  uint32_t max_workgroups_x_ = 65535;
  std::mutex queue_mutex_;
};

// One command buffer with its pool and fence.
class Commands {
 public:
  explicit Commands(Device& device);
  ~Commands();
  Commands(const Commands&) = delete;
  Commands& operator=(const Commands&) = delete;

  VkCommandBuffer handle() const { return commands_; }
  void begin();  // forgets what was recorded
  void end();
  VkResult run() noexcept;  // submits and waits; may be called again and again

 private:
  Device& device_;
  VkCommandPool pool_ = VK_NULL_HANDLE;
  VkCommandBuffer commands_ = VK_NULL_HANDLE;
  VkFence fence_ = VK_NULL_HANDLE;
};

// What -dev and --list-devices offer; empty where there is no Vulkan at all.
std::vector<PhysicalDevice> list_devices() noexcept;

}  // namespace moraine::vulkan
