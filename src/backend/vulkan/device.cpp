#include "backend/vulkan/device.h"

#include <fmt/format.h>
#include <moraine/error.h>

#include <algorithm>
#include <cstring>

namespace moraine::vulkan {
namespace {

constexpr uint64_t kLongestWaitNs = 300'000'000'000;
constexpr char kValidationLayer[] = "VK_LAYER_KHRONOS_validation";

VkBool32 VKAPI_PTR forward_message(VkDebugUtilsMessageSeverityFlagBitsEXT, VkDebugUtilsMessageTypeFlagsEXT,
                                   const VkDebugUtilsMessengerCallbackDataEXT* data, void* user) {
  (*static_cast<const MessageFn*>(user))(data->pMessage);
  return VK_FALSE;
}

// Features of extensions and versions, as one chain to ask with and to enable with.
struct Features {
  VkPhysicalDeviceFeatures2 all = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2};
  VkPhysicalDeviceVulkan11Features v11 = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES};
  VkPhysicalDeviceVulkan12Features v12 = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES};
  VkPhysicalDeviceShaderIntegerDotProductFeatures dot = {
      VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_FEATURES};
  VkPhysicalDeviceSubgroupSizeControlFeatures subgroup = {
      VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES};
  Features(bool has_dot, bool has_subgroup) {
    all.pNext = &v11;
    v11.pNext = &v12;
    void** end = &v12.pNext;
    if (has_dot) *end = &dot, end = &dot.pNext;
    if (has_subgroup) *end = &subgroup;
  }
  Features(const Features&) = delete;

  std::string missing() const {
    std::vector<const char*> names;
    if (!all.features.shaderInt64) names.push_back("64-bit integers");
    if (!v11.storageBuffer16BitAccess) names.push_back("16-bit storage");
    if (!v12.storageBuffer8BitAccess) names.push_back("8-bit storage");
    if (!v12.bufferDeviceAddress) names.push_back("buffer device addresses");
    if (!v12.timelineSemaphore) names.push_back("timeline semaphores");
    return fmt::format("{}", fmt::join(names, ", "));
  }
};

class Extensions {
 public:
  Extensions(const InstanceApi& api, VkPhysicalDevice device) {
    uint32_t n = 0;
    api.EnumerateDeviceExtensionProperties(device, nullptr, &n, nullptr);
    list_.resize(n);
    api.EnumerateDeviceExtensionProperties(device, nullptr, &n, list_.data());
    list_.resize(n);
  }
  bool have(const char* name) const {
    return std::any_of(list_.begin(), list_.end(),
                       [&](const auto& e) { return std::strcmp(e.extensionName, name) == 0; });
  }

 private:
  std::vector<VkExtensionProperties> list_;
};

std::string names_of(const std::vector<PhysicalDevice>& devices) {
  std::string s;
  for (const auto& d : devices) s += fmt::format("{}{} ({})", s.empty() ? "" : ", ", d.name, d.description);
  return s.empty() ? "none" : s;
}

// An iGPU shows its memory as two heaps, the second of them not "local" and just as fast.
bool is_used(const PhysicalDevice& d, const VkMemoryHeap& heap) {
  return d.system_memory || (heap.flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT);
}

}  // namespace

std::vector<uint64_t> free_by_heap(const InstanceApi& api, const PhysicalDevice& device) {
  VkPhysicalDeviceMemoryBudgetPropertiesEXT budget = {
      VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT};
  VkPhysicalDeviceMemoryProperties2 m = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2};
  if (device.has_budget) m.pNext = &budget;
  api.GetPhysicalDeviceMemoryProperties2(device.handle, &m);
  std::vector<uint64_t> free(m.memoryProperties.memoryHeapCount, 0);
  for (size_t h = 0; h < free.size(); ++h) {
    const VkMemoryHeap& heap = m.memoryProperties.memoryHeaps[h];
    if (!is_used(device, heap)) continue;
    free[h] = heap.size;
    if (device.has_budget) {
      const uint64_t allowed = std::min(budget.heapBudget[h], heap.size);
      free[h] = allowed > budget.heapUsage[h] ? allowed - budget.heapUsage[h] : 0;
    }
  }
  return free;
}

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
    VkPhysicalDeviceSubgroupSizeControlProperties sizes = {
        VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_PROPERTIES};
    const Extensions extensions(api_, d.handle);
    if (extensions.have(VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME)) p11.pNext = &sizes;
    VkPhysicalDeviceProperties2 p = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, &p11};
    api_.GetPhysicalDeviceProperties2(d.handle, &p);
    d.description = p.properties.deviceName;
    d.software = p.properties.deviceType == VK_PHYSICAL_DEVICE_TYPE_CPU;
    d.vendor_id = p.properties.vendorID, d.device_id = p.properties.deviceID;
    std::copy_n(p.properties.pipelineCacheUUID, VK_UUID_SIZE, d.pipeline_uuid.begin());
    d.max_allocation_bytes = p11.maxMemoryAllocationSize;
    d.subgroup_size = std::clamp<uint32_t>(p11.subgroupSize, 1, 64);
    if (p.properties.apiVersion < VK_API_VERSION_1_2) {
      d.missing = "Vulkan 1.2";
    } else {
      Features f(extensions.have(VK_KHR_SHADER_INTEGER_DOT_PRODUCT_EXTENSION_NAME),
                 extensions.have(VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME));
      api_.GetPhysicalDeviceFeatures2(d.handle, &f.all);
      d.missing = f.missing();
      d.features.storage8 = f.v12.storageBuffer8BitAccess;
      d.features.int8 = f.v12.shaderInt8;
      d.features.float16 = f.v12.shaderFloat16;
      d.features.dot_product = f.dot.shaderIntegerDotProduct;
      if (f.subgroup.subgroupSizeControl && sizes.requiredSubgroupSizeStages & VK_SHADER_STAGE_COMPUTE_BIT) {
        d.features.min_subgroup_size = sizes.minSubgroupSize;
        d.features.max_subgroup_size = sizes.maxSubgroupSize;
      }
    }
    d.system_memory = d.software || p.properties.deviceType == VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU;
    VkPhysicalDeviceMemoryProperties m;
    api_.GetPhysicalDeviceMemoryProperties(d.handle, &m);
    for (uint32_t h = 0; h < m.memoryHeapCount; ++h)
      if (is_used(d, m.memoryHeaps[h])) d.memory_bytes += m.memoryHeaps[h].size;
    d.has_budget = extensions.have(VK_EXT_MEMORY_BUDGET_EXTENSION_NAME);
    for (const uint64_t free : free_by_heap(api_, d)) d.free_bytes += free;

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
                  "No usable GPU was found; Vulkan devices here: {}. Name one with -dev to use it all the "
                  "same, or run on the CPU with -ngl 0.",
                  names_of(devices_))
            : fmt::format("There is no Vulkan device \"{}\". Devices here: {}.", wanted, names_of(devices_)));
  if (!chosen->missing.empty())
    throw Error(ErrorCode::kUnavailable,
                fmt::format("{} ({}) cannot be used: its driver lacks {}. Update the driver, or run on the "
                            "CPU with -ngl 0.",
                            chosen->name, chosen->description, chosen->missing));
  return *chosen;
}

std::vector<PhysicalDevice> all_devices() noexcept {
  try {
    return Instance().devices();
  } catch (const std::exception&) {
    return {};
  }
}

Device::Device(const Instance& instance, const PhysicalDevice& physical, const ApiHook& hook)
    : instance_(instance), physical_(physical) {
  const InstanceApi& api = instance.api();
  const OptionalFeatures& optional = physical.features;
  Features f(optional.dot_product, optional.max_subgroup_size > 0);
  f.all.features.shaderInt64 = VK_TRUE;
  f.v11.storageBuffer16BitAccess = VK_TRUE;
  f.v12.bufferDeviceAddress = VK_TRUE;
  f.v12.timelineSemaphore = VK_TRUE;
  f.v12.storageBuffer8BitAccess = optional.storage8;
  f.v12.shaderInt8 = optional.int8;
  f.v12.shaderFloat16 = optional.float16;
  f.dot.shaderIntegerDotProduct = VK_TRUE;
  f.subgroup.subgroupSizeControl = VK_TRUE;
  f.subgroup.computeFullSubgroups = VK_FALSE;
  std::vector<const char*> extensions;
  if (physical.has_budget) extensions.push_back(VK_EXT_MEMORY_BUDGET_EXTENSION_NAME);
  if (optional.dot_product) extensions.push_back(VK_KHR_SHADER_INTEGER_DOT_PRODUCT_EXTENSION_NAME);
  if (optional.max_subgroup_size > 0) extensions.push_back(VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME);
  const float priority = 1.0f;
  VkDeviceQueueCreateInfo queue = {VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO};
  queue.queueFamilyIndex = physical.queue_family;
  queue.queueCount = 1;
  queue.pQueuePriorities = &priority;
  VkDeviceCreateInfo info = {VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO, &f.all};
  info.queueCreateInfoCount = 1;
  info.pQueueCreateInfos = &queue;
  info.enabledExtensionCount = static_cast<uint32_t>(extensions.size());
  info.ppEnabledExtensionNames = extensions.data();
  check(api.CreateDevice(physical.handle, &info, nullptr, &device_), "opening the device");
#define X(name) api_.name = reinterpret_cast<PFN_vk##name>(api.GetDeviceProcAddr(device_, "vk" #name));
  MORAINE_VK_DEVICE(X)
#undef X
  if (hook) hook(api_);
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

VkResult Device::submit(const VkSubmitInfo& info, VkFence fence) noexcept {
  const std::lock_guard lock(queue_mutex_);
  return api_.QueueSubmit(queue_, 1, &info, fence);
}

CommandList::CommandList(Device& device) : device_(device) {
  VkCommandPoolCreateInfo pool = {VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO};
  pool.queueFamilyIndex = device.physical().queue_family;
  check(device.api().CreateCommandPool(device.handle(), &pool, nullptr, &pool_), "making a command pool");
}

CommandList::~CommandList() { device_.api().DestroyCommandPool(device_.handle(), pool_, nullptr); }

VkCommandBuffer CommandList::begin() {
  VkCommandBufferAllocateInfo allocate = {VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO};
  allocate.commandPool = pool_;
  allocate.level = VK_COMMAND_BUFFER_LEVEL_PRIMARY;
  allocate.commandBufferCount = 1;
  VkCommandBuffer buffer = VK_NULL_HANDLE;
  check(device_.api().AllocateCommandBuffers(device_.handle(), &allocate, &buffer),
        "making a command buffer");
  buffers_.push_back(buffer);
  const VkCommandBufferBeginInfo info = {VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
  check(device_.api().BeginCommandBuffer(buffer, &info), "recording commands");
  return buffer;
}

void CommandList::end() { check(device_.api().EndCommandBuffer(buffers_.back()), "recording commands"); }

void CommandList::clear() {
  if (!buffers_.empty())
    device_.api().FreeCommandBuffers(device_.handle(), pool_, static_cast<uint32_t>(buffers_.size()),
                                     buffers_.data());
  buffers_.clear();
}

Timeline::Timeline(Device& device) : device_(device) {
  VkSemaphoreTypeCreateInfo type = {VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO};
  type.semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE;
  const VkSemaphoreCreateInfo info = {VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO, &type, 0};
  check(device.api().CreateSemaphore(device.handle(), &info, nullptr, &semaphore_), "making a semaphore");
}

Timeline::~Timeline() { device_.api().DestroySemaphore(device_.handle(), semaphore_, nullptr); }

VkResult Timeline::submit(std::span<const VkCommandBuffer> commands) noexcept {
  const uint64_t value = submitted_ + 1;
  VkTimelineSemaphoreSubmitInfo timeline = {VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO};
  timeline.signalSemaphoreValueCount = 1;
  timeline.pSignalSemaphoreValues = &value;
  VkSubmitInfo info = {VK_STRUCTURE_TYPE_SUBMIT_INFO, &timeline};
  info.commandBufferCount = static_cast<uint32_t>(commands.size());
  info.pCommandBuffers = commands.data();
  info.signalSemaphoreCount = 1;
  info.pSignalSemaphores = &semaphore_;
  const VkResult r = device_.submit(info, VK_NULL_HANDLE);
  if (r == VK_SUCCESS) submitted_ = value;
  return r;
}

VkResult Timeline::wait(uint64_t n) noexcept {
  VkSemaphoreWaitInfo info = {VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO};
  info.semaphoreCount = 1;
  info.pSemaphores = &semaphore_;
  info.pValues = &n;
  const VkResult r = device_.api().WaitSemaphores(device_.handle(), &info, kLongestWaitNs);
  return r == VK_TIMEOUT ? VK_ERROR_DEVICE_LOST : r;
}

}  // namespace moraine::vulkan
