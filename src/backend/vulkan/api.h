// Vulkan's entry points, found at run time: the program starts without libvulkan. Owns the library
// handle and the function tables; what a device can do is device.h.
#pragma once

#include <string>

#define VK_NO_PROTOTYPES
#include <vulkan/vulkan.h>

namespace moraine::vulkan {

#define MORAINE_VK_GLOBAL(X) X(CreateInstance) X(EnumerateInstanceVersion) X(EnumerateInstanceLayerProperties)

#define MORAINE_VK_INSTANCE(X)                                                                        \
  X(DestroyInstance)                                                                                  \
  X(EnumeratePhysicalDevices)                                                                         \
  X(GetPhysicalDeviceProperties2)                                                                     \
  X(GetPhysicalDeviceFeatures2)                                                                       \
  X(GetPhysicalDeviceMemoryProperties) X(GetPhysicalDeviceMemoryProperties2)                          \
      X(EnumerateDeviceExtensionProperties) X(GetPhysicalDeviceQueueFamilyProperties) X(CreateDevice) \
          X(GetDeviceProcAddr)

#define MORAINE_VK_DEVICE(X)                                                                                \
  X(DestroyDevice)                                                                                          \
  X(GetDeviceQueue)                                                                                         \
  X(DeviceWaitIdle)                                                                                         \
  X(CreateBuffer)                                                                                           \
  X(DestroyBuffer) X(GetBufferMemoryRequirements) X(GetBufferDeviceAddress) X(AllocateMemory) X(FreeMemory) \
      X(BindBufferMemory) X(MapMemory) X(CreateShaderModule) X(DestroyShaderModule) X(CreatePipelineLayout) \
          X(DestroyPipelineLayout) X(CreateComputePipelines) X(DestroyPipeline) X(CreateCommandPool)        \
              X(DestroyCommandPool) X(AllocateCommandBuffers) X(BeginCommandBuffer) X(EndCommandBuffer)     \
                  X(CmdBindPipeline) X(CmdPushConstants) X(CmdDispatchIndirect) X(CmdPipelineBarrier)       \
                      X(CmdCopyBuffer) X(CmdFillBuffer) X(CreateSemaphore) X(DestroySemaphore)              \
                          X(WaitSemaphores) X(CreatePipelineCache) X(DestroyPipelineCache)                  \
                              X(GetPipelineCacheData) X(FreeCommandBuffers) X(QueueSubmit)

#define MORAINE_VK_POINTER(name) PFN_vk##name name = nullptr;

// libvulkan, open for as long as this lives.
class Library {
 public:
  Library();  // throws Error{kUnavailable}, saying what to install
  ~Library();
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;

  PFN_vkGetInstanceProcAddr GetInstanceProcAddr = nullptr;
  MORAINE_VK_GLOBAL(MORAINE_VK_POINTER)

 private:
  void* handle_ = nullptr;
};

struct InstanceApi {
  MORAINE_VK_INSTANCE(MORAINE_VK_POINTER)
  // VK_EXT_debug_utils: null unless validation was asked for.
  PFN_vkCreateDebugUtilsMessengerEXT CreateDebugUtilsMessengerEXT = nullptr;
  PFN_vkDestroyDebugUtilsMessengerEXT DestroyDebugUtilsMessengerEXT = nullptr;
};

struct DeviceApi {
  MORAINE_VK_DEVICE(MORAINE_VK_POINTER)
};

// Throws the Error that a failed call means: kOutOfMemory, kDeviceLost, or kUnavailable for the rest.
// doing: completes "The GPU driver failed while ...".
[[noreturn]] void fail(VkResult result, const std::string& doing);
inline void check(VkResult result, const char* doing) {
  if (result != VK_SUCCESS) fail(result, doing);
}

}  // namespace moraine::vulkan
