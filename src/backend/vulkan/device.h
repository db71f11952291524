// The Vulkan instance, the devices it offers, and the one device a backend runs on: its queue, its
// features, one-off submissions. Memory is memory.h, pipelines are pipelines.h.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "backend/vulkan/api.h"

namespace moraine::vulkan {

using MessageFn = std::function<void(const std::string&)>;

// What makes shaders faster where it is there; all of it is enabled.
struct OptionalFeatures {
  bool storage8 = false;     // 8-bit values in memory
  bool int8 = false;         // and in arithmetic
  bool float16 = false;      // in arithmetic
  bool dot_product = false;  // of four 8-bit values: VK_KHR_shader_integer_dot_product
  uint32_t min_subgroup_size = 0, max_subgroup_size = 0;  // that a pipeline may ask for; 0: it may not
};

struct PhysicalDevice {
  VkPhysicalDevice handle = VK_NULL_HANDLE;
  std::string name;            // "Vulkan0": by order of discovery, as llama.cpp names them
  std::string description;     // "AMD Radeon 8060S (RADV GFX1151)"
  bool software = false;       // runs on the CPU (lavapipe)
  bool system_memory = false;  // its memory is the system's
  bool has_budget = false;     // says how much of its memory is taken: VK_EXT_memory_budget
  std::string missing;         // what it lacks to run here, "" if nothing: "buffer device addresses"
  uint32_t queue_family = 0;
  uint32_t vendor_id = 0, device_id = 0;
  std::array<uint8_t, VK_UUID_SIZE> pipeline_uuid = {};  // of this driver's compiled shaders
  uint64_t memory_bytes = 0;                             // of the heaps that it is used with
  uint64_t free_bytes = 0;  // of them, for this process, when the device was found
  uint64_t max_allocation_bytes = 0;
  OptionalFeatures features;
  uint32_t subgroup_size = 1;  // the usual one; a pipeline may get another unless it asks
};

// What this process may still take of a device's memory, by heap. Heaps that it should not live in (a
// discrete GPU's view of the system's memory) say 0.
std::vector<uint64_t> free_by_heap(const InstanceApi& api, const PhysicalDevice& device);

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

// Changes the table of a device's functions; for tests, which make calls fail.
using ApiHook = std::function<void(DeviceApi&)>;

class Device {
 public:
  Device(const Instance& instance, const PhysicalDevice& physical, const ApiHook& hook = {});
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  const DeviceApi& api() const { return api_; }
  VkDevice handle() const { return device_; }
  const PhysicalDevice& physical() const { return physical_; }
  const VkPhysicalDeviceMemoryProperties& memory() const { return memory_; }
  uint32_t max_workgroups_x() const { return max_workgroups_x_; }
  std::vector<uint64_t> free_by_heap() const { return vulkan::free_by_heap(instance_.api(), physical_); }

  // Submits and returns; threads may call it at once.
  VkResult submit(const VkSubmitInfo& info, VkFence fence) noexcept;

 private:
  const Instance& instance_;
  PhysicalDevice physical_;
  DeviceApi api_;
  VkDevice device_ = VK_NULL_HANDLE;
  VkQueue queue_ = VK_NULL_HANDLE;
  VkPhysicalDeviceMemoryProperties memory_ = {};
  uint32_t max_workgroups_x_ = 65535;
  std::mutex queue_mutex_;
};

// Command buffers of one pool.
class CommandList {
 public:
  explicit CommandList(Device& device);
  ~CommandList();
  CommandList(const CommandList&) = delete;
  CommandList& operator=(const CommandList&) = delete;

  VkCommandBuffer begin();  // one more, open for recording
  void end();               // of the last one
  std::span<const VkCommandBuffer> all() const { return buffers_; }
  void clear();  // forgets what was recorded

 private:
  Device& device_;
  VkCommandPool pool_ = VK_NULL_HANDLE;
  std::vector<VkCommandBuffer> buffers_;
};

// Submissions that are waited for in the order they were made: a timeline semaphore.
class Timeline {
 public:
  explicit Timeline(Device& device);
  ~Timeline();
  Timeline(const Timeline&) = delete;
  Timeline& operator=(const Timeline&) = delete;

  VkResult submit(std::span<const VkCommandBuffer> commands) noexcept;
  // Until submission n, counted from 1, has ended. A device that does not answer for minutes is lost,
  // whatever its driver thinks: VK_ERROR_DEVICE_LOST.
  VkResult wait(uint64_t n) noexcept;
  uint64_t submitted() const { return submitted_; }

 private:
  Device& device_;
  VkSemaphore semaphore_ = VK_NULL_HANDLE;
  uint64_t submitted_ = 0;
};

// Empty where there is no Vulkan at all.
std::vector<PhysicalDevice> all_devices() noexcept;

}  // namespace moraine::vulkan
