// A libvulkan.so.1 that breaks when told to: hands everything on to the system's, until a test wants the
// device lost or its memory gone. The test's LD_LIBRARY_PATH makes the program open this one.
#include <dlfcn.h>

#include <atomic>
#include <cstring>
#include <string>

#define VK_NO_PROTOTYPES
#include <vulkan/vulkan.h>

namespace {

std::atomic<int> submissions_left{-1};  // < 0: as many as are wanted; 0: the device is lost
std::atomic<bool> opens{true};
std::atomic<bool> has_memory{true};

PFN_vkGetInstanceProcAddr real_instance_proc() {
  static const auto proc = [] {
    for (const char* path :
         {"/usr/lib/x86_64-linux-gnu/libvulkan.so.1", "/usr/lib64/libvulkan.so.1", "/usr/lib/libvulkan.so.1"})
      if (void* handle = dlopen(path, RTLD_NOW | RTLD_LOCAL))
        return reinterpret_cast<PFN_vkGetInstanceProcAddr>(dlsym(handle, "vkGetInstanceProcAddr"));
    return PFN_vkGetInstanceProcAddr(nullptr);
  }();
  return proc;
}

PFN_vkGetDeviceProcAddr real_device_proc = nullptr;
PFN_vkCreateDevice real_create = nullptr;
PFN_vkQueueSubmit real_submit = nullptr;
PFN_vkAllocateMemory real_allocate = nullptr;

VkResult VKAPI_PTR create_device(VkPhysicalDevice physical, const VkDeviceCreateInfo* info,
                                 const VkAllocationCallbacks* allocator, VkDevice* device) {
  if (!opens) return VK_ERROR_DEVICE_LOST;
  submissions_left = -1;  // another device
  return real_create(physical, info, allocator, device);
}

VkResult VKAPI_PTR submit(VkQueue queue, uint32_t n, const VkSubmitInfo* infos, VkFence fence) {
  if (submissions_left == 0) return VK_ERROR_DEVICE_LOST;
  if (submissions_left > 0) --submissions_left;
  return real_submit(queue, n, infos, fence);
}

VkResult VKAPI_PTR allocate(VkDevice device, const VkMemoryAllocateInfo* info,
                            const VkAllocationCallbacks* allocator, VkDeviceMemory* memory) {
  return has_memory ? real_allocate(device, info, allocator, memory) : VK_ERROR_OUT_OF_DEVICE_MEMORY;
}

template <class Fn>
PFN_vkVoidFunction replaced(Fn& real, PFN_vkVoidFunction found, Fn ours) {
  if (!found) return nullptr;
  real = reinterpret_cast<Fn>(found);
  return reinterpret_cast<PFN_vkVoidFunction>(ours);
}

PFN_vkVoidFunction VKAPI_PTR device_proc(VkDevice device, const char* name) {
  const PFN_vkVoidFunction found = real_device_proc(device, name);
  if (std::strcmp(name, "vkQueueSubmit") == 0) return replaced(real_submit, found, submit);
  if (std::strcmp(name, "vkAllocateMemory") == 0) return replaced(real_allocate, found, allocate);
  return found;
}

}  // namespace

extern "C" {

__attribute__((visibility("default"))) PFN_vkVoidFunction VKAPI_CALL
vkGetInstanceProcAddr(VkInstance instance, const char* name) {
  if (!real_instance_proc()) return nullptr;
  const PFN_vkVoidFunction found = real_instance_proc()(instance, name);
  if (std::strcmp(name, "vkGetDeviceProcAddr") == 0) return replaced(real_device_proc, found, device_proc);
  if (std::strcmp(name, "vkCreateDevice") == 0) return replaced(real_create, found, create_device);
  return found;
}

// After n more submissions the device is lost, until it is opened anew.
__attribute__((visibility("default"))) void faulty_lose_after(int n) { submissions_left = n; }
__attribute__((visibility("default"))) void faulty_set_opens(bool yes) { opens = yes; }
__attribute__((visibility("default"))) void faulty_set_memory(bool yes) { has_memory = yes; }

}  // extern "C"
