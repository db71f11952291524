#include "backend/vulkan/device.h"

#include <fmt/format.h>
#include <moraine/error.h>

#include <algorithm>
#include <cstring>

namespace moraine::vulkan {
namespace {

constexpr char kValidationLayer[] = "VK_LAYER_KHRONOS_validation";

VkBool32 VKAPI_PTR forward_message(VkDebugUtilsMessageSeverityFlagBitsEXT, VkDebugUtilsMessageTypeFlagsEXT,
                                   const VkDebugUtilsMessengerCallbackDataEXT* data, void* user) {
  (*static_cast<const MessageFn*>(user))(data->pMessage);
  return VK_FALSE;
}

// The features every shader needs, as one chain to ask with and to enable with.
struct Features {
  VkPhysicalDeviceVulkan12Features v12 = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES};
  VkPhysicalDeviceVulkan11Features v11 = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES};
  VkPhysicalDeviceFeatures2 all = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2};
  Features() {
    all.pNext = &v11;
    v11.pNext = &v12;
  }
  Features(const Features&) = delete;

  std::string missing() const {
    std::vector<const char*> names;
    if (!all.features.shaderInt64) names.push_back("64-bit integers");
    if (!v11.storageBuffer16BitAccess) names.push_back("16-bit storage");
    if (!v12.bufferDeviceAddress) names.push_back("buffer device addresses");
    return fmt::format("{}", fmt::join(names, ", "));
  }
};

std::string names_of(const std::vector<PhysicalDevice>& devices) {
  std::string s;
  for (const auto& d : devices) s += fmt::format("{}{} ({})", s.empty() ? "" : ", ", d.name, d.description);
  return s.empty() ? "none" : s;
}

}  // namespace

Instance::Instance(MessageFn on_message) : on_message_(std::move(on_message)) {
  VkApplicationInfo app = {VK_STRUCTURE_TYPE_APPLICATION_INFO};
  app.pApplicationName = "moraine";
  app.apiVersion = VK_API_VERSION_1_2;
  VkInstanceCreateInfo info = {VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO};
  info.pApplicationInfo = &app;

  VkDebugUtilsMessengerCreateInfoEXT messenger = {VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT};
  messenger.messageSeverity =
      VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT | VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT;
  messenger.messageType =
      VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT | VK_DEBUG_UTILS_MESSAGE_TYPE_PERFORMANCE_BIT_EXT;
  messenger.pfnUserCallback = forward_message;
  messenger.pUserData = &on_message_;
  const char* layer = kValidationLayer;
  const char* extension = VK_EXT_DEBUG_UTILS_EXTENSION_NAME;
  if (on_message_) {
    info.pNext = &messenger;
    info.enabledLayerCount = info.enabledExtensionCount = 1;
    info.ppEnabledLayerNames = &layer;
    info.ppEnabledExtensionNames = &extension;
  }
  const VkResult made = library_.CreateInstance(&info, nullptr, &instance_);
  if (made == VK_ERROR_LAYER_NOT_PRESENT)
    throw Error(ErrorCode::kUnavailable,
                "The Vulkan validation layer is not installed (Debian: vulkan-validationlayers).");
  if (made == VK_ERROR_INCOMPATIBLE_DRIVER)
    throw Error(ErrorCode::kUnavailable,
                "No Vulkan driver is installed. Install your GPU's (Debian: mesa-vulkan-drivers), or "
                "run on the CPU with -ngl 0.");
  check(made, "opening Vulkan");
#define X(name) \
  api_.name = reinterpret_cast<PFN_vk##name>(library_.GetInstanceProcAddr(instance_, "vk" #name));
  MORAINE_VK_INSTANCE(X)
  if (on_message_) {
    X(CreateDebugUtilsMessengerEXT)
    X(DestroyDebugUtilsMessengerEXT)
    if (api_.CreateDebugUtilsMessengerEXT)
      api_.CreateDebugUtilsMessengerEXT(instance_, &messenger, nullptr, &messenger_);
  }
#undef X
  try {
    find_devices();
  } catch (...) {
    if (messenger_) api_.DestroyDebugUtilsMessengerEXT(instance_, messenger_, nullptr);
    api_.DestroyInstance(instance_, nullptr);
    throw;
  }
}

Instance::~Instance() {
  if (messenger_) api_.DestroyDebugUtilsMessengerEXT(instance_, messenger_, nullptr);
  api_.DestroyInstance(instance_, nullptr);
}

void Instance::find_devices() {
  uint32_t n = 0;
  check(api_.EnumeratePhysicalDevices(instance_, &n, nullptr), "looking for devices");
  std::vector<VkPhysicalDevice> handles(n);
  check(api_.EnumeratePhysicalDevices(instance_, &n, handles.data()), "looking for devices");
  for (uint32_t i = 0; i < n; ++i) {
    PhysicalDevice d;
    d.handle = handles[i];
    d.name = fmt::format("Vulkan{}", i);
    VkPhysicalDeviceVulkan11Properties p11 = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_PROPERTIES};
    VkPhysicalDeviceProperties2 p = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, &p11};
    api_.GetPhysicalDeviceProperties2(d.handle, &p);
    d.description = p.properties.deviceName;
    d.software = p.properties.deviceType == VK_PHYSICAL_DEVICE_TYPE_CPU;
    d.max_allocation_bytes = p11.maxMemoryAllocationSize;
    d.subgroup_size = std::clamp<uint32_t>(p11.subgroupSize, 1, 64);
    if (p.properties.apiVersion < VK_API_VERSION_1_2) {
      d.missing = "Vulkan 1.2";
    } else {
      Features f;
      api_.GetPhysicalDeviceFeatures2(d.handle, &f.all);
      d.missing = f.missing();
      if (d.missing.empty() && (!(p11.subgroupSupportedStages & VK_SHADER_STAGE_COMPUTE_BIT) ||
                                !(p11.subgroupSupportedOperations & VK_SUBGROUP_FEATURE_ARITHMETIC_BIT)))
        d.missing = "subgroup arithmetic";
    }
    VkPhysicalDeviceMemoryProperties m;
    api_.GetPhysicalDeviceMemoryProperties(d.handle, &m);
    for (uint32_t h = 0; h < m.memoryHeapCount; ++h)
      if (m.memoryHeaps[h].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT) d.memory_bytes += m.memoryHeaps[h].size;

    uint32_t n_families = 0;
    api_.GetPhysicalDeviceQueueFamilyProperties(d.handle, &n_families, nullptr);
    std::vector<VkQueueFamilyProperties> families(n_families);
    api_.GetPhysicalDeviceQueueFamilyProperties(d.handle, &n_families, families.data());
    const auto it = std::find_if(families.begin(), families.end(),
                                 [](const auto& f) { return (f.queueFlags & VK_QUEUE_COMPUTE_BIT) != 0; });
    if (it == families.end())
      d.missing = "a compute queue";
    else
      d.queue_family = static_cast<uint32_t>(it - families.begin());
    devices_.push_back(std::move(d));
  }
}

const PhysicalDevice& Instance::choose(const std::string& wanted, bool allow_software) const {
  const PhysicalDevice* chosen = nullptr;
  for (const auto& d : devices_) {
    const bool matches = wanted.empty() ? d.missing.empty() && !d.software
                                        : d.name == wanted || d.description.find(wanted) != std::string::npos;
    if (matches && !chosen) chosen = &d;
  }
  if (!chosen && wanted.empty() && allow_software)
    for (const auto& d : devices_)
      if (d.missing.empty()) chosen = &d;
  if (!chosen)
    throw Error(
        wanted.empty() ? ErrorCode::kUnavailable : ErrorCode::kInvalidArgument,
        wanted.empty()
            ? fmt::format(
                  "No usable GPU was found; Vulkan devices here: {}. Run on the CPU with -ngl 0, or name "
                  "a device with -dev.",
                  names_of(devices_))
            : fmt::format("There is no Vulkan device \"{}\". Devices here: {}.", wanted, names_of(devices_)));
  if (!chosen->missing.empty())
    throw Error(ErrorCode::kUnavailable,
                fmt::format("{} ({}) cannot be used: its driver lacks {}. Update the driver, or run on the "
                            "CPU with -ngl 0.",
                            chosen->name, chosen->description, chosen->missing));
  return *chosen;
}

std::vector<PhysicalDevice> list_devices() noexcept {
  try {
    return Instance().devices();
  } catch (const std::exception&) {
    return {};
  }
}

Device::Device(const Instance& instance, const PhysicalDevice& physical) : physical_(physical) {
  const InstanceApi& api = instance.api();
  Features f;
  f.all.features.shaderInt64 = VK_TRUE;
  f.v11.storageBuffer16BitAccess = VK_TRUE;
  f.v12.bufferDeviceAddress = VK_TRUE;
  const float priority = 1.0f;
  VkDeviceQueueCreateInfo queue = {VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO};
  queue.queueFamilyIndex = physical.queue_family;
  queue.queueCount = 1;
  queue.pQueuePriorities = &priority;
  VkDeviceCreateInfo info = {VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO, &f.all};
  info.queueCreateInfoCount = 1;
  info.pQueueCreateInfos = &queue;
  check(api.CreateDevice(physical.handle, &info, nullptr, &device_), "opening the device");
#define X(name) api_.name = reinterpret_cast<PFN_vk##name>(api.GetDeviceProcAddr(device_, "vk" #name));
  MORAINE_VK_DEVICE(X)
#undef X
  api_.GetDeviceQueue(device_, physical.queue_family, 0, &queue_);
  api.GetPhysicalDeviceMemoryProperties(physical.handle, &memory_);
  VkPhysicalDeviceProperties2 p = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2};
  api.GetPhysicalDeviceProperties2(physical.handle, &p);
  max_workgroups_x_ = p.properties.limits.maxComputeWorkGroupCount[0];
}

Device::~Device() {
  api_.DeviceWaitIdle(device_);
  api_.DestroyDevice(device_, nullptr);
}

VkResult Device::submit(VkCommandBuffer commands, VkFence fence) noexcept {
  VkSubmitInfo info = {VK_STRUCTURE_TYPE_SUBMIT_INFO};
  info.commandBufferCount = 1;
  info.pCommandBuffers = &commands;
  const std::lock_guard lock(queue_mutex_);
  return api_.QueueSubmit(queue_, 1, &info, fence);
}

Commands::Commands(Device& device) : device_(device) {
  const DeviceApi& api = device.api();
  VkFenceCreateInfo fence = {VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
  VkCommandPoolCreateInfo pool = {VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO};
  pool.flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT;
  pool.queueFamilyIndex = device.physical().queue_family;
  VkResult r = api.CreateFence(device.handle(), &fence, nullptr, &fence_);
  if (r == VK_SUCCESS) r = api.CreateCommandPool(device.handle(), &pool, nullptr, &pool_);
  if (r == VK_SUCCESS) {
    VkCommandBufferAllocateInfo allocate = {VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO};
    allocate.commandPool = pool_;
    allocate.level = VK_COMMAND_BUFFER_LEVEL_PRIMARY;
    allocate.commandBufferCount = 1;
    r = api.AllocateCommandBuffers(device.handle(), &allocate, &commands_);
  }
  if (r == VK_SUCCESS) return;
  api.DestroyCommandPool(device.handle(), pool_, nullptr);  // null handles are allowed
  api.DestroyFence(device.handle(), fence_, nullptr);
  fail(r, "making a command buffer");
}

Commands::~Commands() {
  device_.api().DestroyCommandPool(device_.handle(), pool_, nullptr);
  device_.api().DestroyFence(device_.handle(), fence_, nullptr);
}

void Commands::begin() {
  const VkCommandBufferBeginInfo info = {VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
  check(device_.api().BeginCommandBuffer(commands_, &info), "recording commands");
}

void Commands::end() { check(device_.api().EndCommandBuffer(commands_), "recording commands"); }

VkResult Commands::run() noexcept {
  VkResult r = device_.api().ResetFences(device_.handle(), 1, &fence_);
  if (r == VK_SUCCESS) r = device_.submit(commands_, fence_);
  if (r == VK_SUCCESS) r = device_.api().WaitForFences(device_.handle(), 1, &fence_, VK_TRUE, UINT64_MAX);
  return r;
}

}  // namespace moraine::vulkan
