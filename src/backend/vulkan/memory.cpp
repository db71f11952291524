#include "backend/vulkan/memory.h"

#include <fmt/format.h>
#include <moraine/error.h>

#include <algorithm>
#include <cstring>
#include <span>

namespace moraine::vulkan {
namespace {

constexpr uint64_t kStagingBytes = 4u << 20;

constexpr VkMemoryPropertyFlags kLocal = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT;
constexpr VkMemoryPropertyFlags kVisible =
    VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
constexpr VkMemoryPropertyFlags kCached = VK_MEMORY_PROPERTY_HOST_CACHED_BIT;

// Best first. Device memory ends with what the host owns: an iGPU shows its memory as two heaps, and
// the second one is as fast as the first.
std::span<const VkMemoryPropertyFlags> preferences(MemoryUse use) {
  static constexpr VkMemoryPropertyFlags kDevice[] = {kLocal | kVisible, kLocal, kVisible};
  static constexpr VkMemoryPropertyFlags kDeviceUnmapped[] = {kLocal};
  static constexpr VkMemoryPropertyFlags kUpload[] = {kLocal | kVisible, kVisible};
  static constexpr VkMemoryPropertyFlags kReadback[] = {kVisible | kCached, kVisible};
  switch (use) {
    case MemoryUse::kDevice:
      return kDevice;
    case MemoryUse::kDeviceUnmapped:
      return kDeviceUnmapped;
    case MemoryUse::kUpload:
      return kUpload;
    case MemoryUse::kReadback:
      return kReadback;
  }
  return {};
}

}  // namespace

Buffer::Buffer(Device& device, uint64_t bytes, MemoryUse use, const char* what)
    : device_(device), size_((std::max<uint64_t>(bytes, 1) + 15) / 16 * 16) {
  VkBufferCreateInfo info = {VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO};
  info.size = size_;
  info.usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT |
               VK_BUFFER_USAGE_TRANSFER_DST_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT |
               VK_BUFFER_USAGE_INDIRECT_BUFFER_BIT;
  info.sharingMode = VK_SHARING_MODE_EXCLUSIVE;
  const DeviceApi& api = device_.api();
  bool ok = api.CreateBuffer(device_.handle(), &info, nullptr, &buffer_) == VK_SUCCESS;
  if (ok) {
    VkMemoryRequirements need;
    api.GetBufferMemoryRequirements(device_.handle(), buffer_, &need);
    ok = false;
    for (const VkMemoryPropertyFlags flags : preferences(use)) {
      if (allocate(need, flags)) {
        ok = true;
        break;
      }
    }
  }
  if (!ok) {
    release();
    throw Error(ErrorCode::kOutOfMemory, fmt::format("The GPU ({}) has no {:.1f} MB of memory left for {}. "
                                                     "Close other programs that use it, or choose a "
                                                     "smaller model or context (-c).",
                                                     device_.physical().description, size_ / 1e6, what));
  }
  VkBufferDeviceAddressInfo at = {VK_STRUCTURE_TYPE_BUFFER_DEVICE_ADDRESS_INFO};
  at.buffer = buffer_;
  address_ = api.GetBufferDeviceAddress(device_.handle(), &at);
}

Buffer::~Buffer() { release(); }

void Buffer::release() noexcept {
  if (buffer_) device_.api().DestroyBuffer(device_.handle(), buffer_, nullptr);
  if (memory_) device_.api().FreeMemory(device_.handle(), memory_, nullptr);  // unmaps too
  buffer_ = VK_NULL_HANDLE;
  memory_ = VK_NULL_HANDLE;
}

// True where one of the types with these flags took the buffer.
bool Buffer::allocate(const VkMemoryRequirements& need, VkMemoryPropertyFlags flags) {
  const DeviceApi& api = device_.api();
  const VkPhysicalDeviceMemoryProperties& m = device_.memory();
  for (uint32_t type = 0; type < m.memoryTypeCount; ++type) {
    const VkMemoryPropertyFlags has = m.memoryTypes[type].propertyFlags;
    if (!(need.memoryTypeBits >> type & 1) || (has & flags) != flags) continue;
    if (has & VK_MEMORY_PROPERTY_PROTECTED_BIT) continue;
    if (need.size > m.memoryHeaps[m.memoryTypes[type].heapIndex].size) continue;
    VkMemoryAllocateFlagsInfo with_address = {VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_FLAGS_INFO};
    with_address.flags = VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_BIT;
    VkMemoryAllocateInfo info = {VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO, &with_address};
    info.allocationSize = need.size;
    info.memoryTypeIndex = type;
    if (api.AllocateMemory(device_.handle(), &info, nullptr, &memory_) != VK_SUCCESS) {
      memory_ = VK_NULL_HANDLE;
      continue;
    }
    bool ok = api.BindBufferMemory(device_.handle(), buffer_, memory_, 0) == VK_SUCCESS;
    if (ok && (flags & VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT)) {
      void* p = nullptr;
      ok = api.MapMemory(device_.handle(), memory_, 0, VK_WHOLE_SIZE, 0, &p) == VK_SUCCESS;
      mapped_ = static_cast<uint8_t*>(p);
    }
    return ok;  // a buffer cannot be bound twice: a failure here is final
  }
  return false;
}

std::vector<Place> place_all(Device& device, const std::vector<uint64_t>& sizes, uint64_t arena_bytes,
                             MemoryUse use, const char* what, std::vector<std::unique_ptr<Buffer>>& arenas) {
  const uint64_t limit = device.physical().max_allocation_bytes;
  arena_bytes = std::min(arena_bytes, limit);
  // Drivers may grant what they do not have and fail at the first touch: what cannot be is refused here.
  uint64_t wanted = 0, there = 0;
  for (const uint64_t size : sizes) wanted += size;
  for (uint32_t h = 0; h < device.memory().memoryHeapCount; ++h) there += device.memory().memoryHeaps[h].size;
  if (wanted > there)
    throw Error(ErrorCode::kOutOfMemory,
                fmt::format("{:.1f} GB of memory for {} is more than the GPU ({}) has: {:.1f} GB. Choose a "
                            "smaller model, or run on "
                            "the CPU with -ngl 0.",
                            wanted / 1e9, what, device.physical().description, there / 1e9));
  std::vector<Place> places(sizes.size());
  for (size_t first = 0; first < sizes.size();) {
    uint64_t total = 0;
    size_t end = first;
    for (; end < sizes.size(); ++end) {
      const uint64_t size = (sizes[end] + kPlaceAlignment - 1) / kPlaceAlignment * kPlaceAlignment;
      if (size > limit)
        throw Error(
            ErrorCode::kUnsupported,
            fmt::format("A tensor of {:.1f} MB is more than the GPU ({}) allocates at once ({:.1f} MB).",
                        size / 1e6, device.physical().description, limit / 1e6));
      if (end > first && total + size > arena_bytes) break;
      places[end].offset = total;
      total += size;
    }
    arenas.push_back(std::make_unique<Buffer>(device, total, use, what));
    for (; first < end; ++first) places[first].buffer = arenas.back().get();
  }
  return places;
}

Uploader::Uploader(Device& device)
    : device_(device), staging_(device, kStagingBytes, MemoryUse::kUpload, "uploads"), commands_(device) {}

void Uploader::write(const Place& to, const void* data, uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  for (uint64_t done = 0; done < bytes; done += kStagingBytes) {
    const uint64_t n = std::min(kStagingBytes, bytes - done);
    std::memcpy(staging_.mapped(), static_cast<const uint8_t*>(data) + done, n);
    commands_.begin();
    const VkBufferCopy region = {0, to.offset + done, n};
    device_.api().CmdCopyBuffer(commands_.handle(), staging_.handle(), to.buffer->handle(), 1, &region);
    commands_.end();
    check(commands_.run(), "copying weights to it");
  }
}

}  // namespace moraine::vulkan
