#include "backend/vulkan/api.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <moraine/error.h>

namespace moraine::vulkan {

Library::Library() {
  handle_ = dlopen("libvulkan.so.1", RTLD_NOW | RTLD_LOCAL);
  if (!handle_)
    throw Error(
        ErrorCode::kUnavailable,
        fmt::format(
            "Vulkan is not installed ({}). Install the Vulkan loader (Debian: libvulkan1) and your GPU's "
            "driver (mesa-vulkan-drivers), or run on the CPU with -ngl 0.",
            dlerror()));
  GetInstanceProcAddr = reinterpret_cast<PFN_vkGetInstanceProcAddr>(dlsym(handle_, "vkGetInstanceProcAddr"));
  if (GetInstanceProcAddr) {
#define X(name) name = reinterpret_cast<PFN_vk##name>(GetInstanceProcAddr(nullptr, "vk" #name));
    MORAINE_VK_GLOBAL(X)
#undef X
  }
  if (!CreateInstance || !EnumerateInstanceVersion) {
    dlclose(handle_);
    throw Error(ErrorCode::kUnavailable,
                "The Vulkan loader on this system is older than 1.1. Update libvulkan1, or run on "
                "the CPU with -ngl 0.");
  }
}

Library::~Library() { dlclose(handle_); }

void fail(VkResult result, const std::string& doing) {
  switch (result) {
    case VK_ERROR_OUT_OF_HOST_MEMORY:
    case VK_ERROR_OUT_OF_DEVICE_MEMORY:
      throw Error(ErrorCode::kOutOfMemory, fmt::format("The GPU ran out of memory while {}. Close other "
                                                       "programs that use the GPU, or choose a smaller "
                                                       "model or context (-c).",
                                                       doing));
    case VK_ERROR_DEVICE_LOST:
      throw Error(ErrorCode::kDeviceLost, fmt::format("The GPU was lost while {}: its driver reset it. The "
                                                      "system log (journalctl -k) names the cause.",
                                                      doing));
    default:
      throw Error(ErrorCode::kUnavailable, fmt::format("The GPU driver failed while {} (VkResult {}).", doing,
                                                       static_cast<int>(result)));
  }
}

}  // namespace moraine::vulkan
