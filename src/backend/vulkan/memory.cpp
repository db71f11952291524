#include "backend/vulkan/memory.h"

#include <fmt/format.h>
#include <moraine/error.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/check.h"

namespace moraine::vulkan {
namespace {

constexpr uint64_t kStagingBytes = 4u << 20;
constexpr uint64_t kSlabBytes = 64u << 20;
constexpr uint64_t kMaxSlabPieces = 16;

constexpr VkMemoryPropertyFlags kLocal = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT;
constexpr VkMemoryPropertyFlags kVisible =
    VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
constexpr VkMemoryPropertyFlags kCached = VK_MEMORY_PROPERTY_HOST_CACHED_BIT;

// Best first. Where the device lives in the system's memory, what the host owns is good enough too: an iGPU
// shows its memory as two heaps, and the second one is as fast as the first.
std::span<const VkMemoryPropertyFlags> preferences(MemoryUse use, bool system_memory) {
  static constexpr VkMemoryPropertyFlags kDevice[] = {kLocal | kVisible, kLocal, kVisible};
  static constexpr VkMemoryPropertyFlags kDeviceUnmapped[] = {kLocal};
  static constexpr VkMemoryPropertyFlags kUpload[] = {kLocal | kVisible, kVisible};
  static constexpr VkMemoryPropertyFlags kReadback[] = {kVisible | kCached, kVisible};
  switch (use) {
    case MemoryUse::kDevice:
      return std::span(kDevice).first(system_memory ? 3 : 2);
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
    for (const VkMemoryPropertyFlags flags : preferences(use, device.physical().system_memory)) {
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
  std::vector<uint64_t> free = device_.free_by_heap();
  // What the host reads and writes may lie in heaps that the device itself should not live in.
  if (!(flags & kLocal) && !device_.physical().system_memory)
    for (uint32_t h = 0; h < m.memoryHeapCount; ++h)
      if (!(m.memoryHeaps[h].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT)) free[h] = m.memoryHeaps[h].size;
  for (uint32_t type = 0; type < m.memoryTypeCount; ++type) {
    const VkMemoryPropertyFlags has = m.memoryTypes[type].propertyFlags;
    if (!(need.memoryTypeBits >> type & 1) || (has & flags) != flags) continue;
    if (has & VK_MEMORY_PROPERTY_PROTECTED_BIT) continue;
    if (need.size > free[m.memoryTypes[type].heapIndex]) continue;
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

uint64_t Packing::total() const {
  uint64_t n = 0;
  for (const uint64_t arena : arenas) n += arena;
  return n;
}

Packing pack(std::span<const uint64_t> sizes, uint64_t arena_bytes) {
  Packing out;
  for (const uint64_t size : sizes) {
    const uint64_t aligned = align_place(size);
    if (out.arenas.empty() || out.arenas.back() + aligned > arena_bytes) out.arenas.push_back(0);
    out.spots.push_back({out.arenas.size() - 1, out.arenas.back()});
    out.arenas.back() += aligned;
  }
  return out;
}

Transfers::Transfers(Device& device) : device_(device), commands_(device), timeline_(device) {}

template <class Record>
void Transfers::run(const char* doing, Record&& record) {
  const VkCommandBuffer commands = commands_.begin();
  VkMemoryBarrier before = {VK_STRUCTURE_TYPE_MEMORY_BARRIER};  // what shaders wrote is moved
  before.srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT;
  before.dstAccessMask = VK_ACCESS_TRANSFER_READ_BIT | VK_ACCESS_TRANSFER_WRITE_BIT;
  device_.api().CmdPipelineBarrier(commands,
                                   VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT,
                                   VK_PIPELINE_STAGE_TRANSFER_BIT, 0, 1, &before, 0, nullptr, 0, nullptr);
  record(commands);
  commands_.end();
  VkResult r = timeline_.submit(commands_.all());
  if (r == VK_SUCCESS) r = timeline_.wait(timeline_.submitted());
  commands_.clear();
  check(r, doing);
}

void Transfers::write(const Place& to, const void* data, uint64_t bytes) {
  if (uint8_t* mapped = to.buffer->mapped()) {
    std::memcpy(mapped + to.offset, data, bytes);
    return;
  }
  const std::lock_guard lock(mutex_);
  if (!upload_) upload_ = std::make_unique<Buffer>(device_, kStagingBytes, MemoryUse::kUpload, "uploads");
  for (uint64_t done = 0; done < bytes; done += kStagingBytes) {
    const VkBufferCopy region = {0, to.offset + done, std::min(kStagingBytes, bytes - done)};
    std::memcpy(upload_->mapped(), static_cast<const uint8_t*>(data) + done, region.size);
    run("copying to it", [&](VkCommandBuffer commands) {
      device_.api().CmdCopyBuffer(commands, upload_->handle(), to.buffer->handle(), 1, &region);
    });
  }
}

void Transfers::read(void* to, const Place& from, uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  if (!readback_)
    readback_ = std::make_unique<Buffer>(device_, kStagingBytes, MemoryUse::kReadback, "copies of the cache");
  for (uint64_t done = 0; done < bytes; done += kStagingBytes) {
    const VkBufferCopy region = {from.offset + done, 0, std::min(kStagingBytes, bytes - done)};
    run("copying from it", [&](VkCommandBuffer commands) {
      device_.api().CmdCopyBuffer(commands, from.buffer->handle(), readback_->handle(), 1, &region);
      VkMemoryBarrier copied = {VK_STRUCTURE_TYPE_MEMORY_BARRIER};
      copied.srcAccessMask = VK_ACCESS_TRANSFER_WRITE_BIT;
      copied.dstAccessMask = VK_ACCESS_HOST_READ_BIT;
      device_.api().CmdPipelineBarrier(commands, VK_PIPELINE_STAGE_TRANSFER_BIT, VK_PIPELINE_STAGE_HOST_BIT,
                                       0, 1, &copied, 0, nullptr, 0, nullptr);
    });
    std::memcpy(static_cast<uint8_t*>(to) + done, readback_->mapped(), region.size);
  }
}

void Transfers::copy(const Place& to, const Place& from, uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  const VkBufferCopy region = {from.offset, to.offset, bytes};
  run("copying a part of the cache", [&](VkCommandBuffer commands) {
    device_.api().CmdCopyBuffer(commands, from.buffer->handle(), to.buffer->handle(), 1, &region);
  });
}

void Transfers::clear(const Place& place, uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  run("clearing memory", [&](VkCommandBuffer commands) {
    device_.api().CmdFillBuffer(commands, place.buffer->handle(), place.offset, bytes, 0);
  });
}

void DeviceSlots::set_piece_bytes(uint64_t bytes) {
  for (const Slab& slab : slabs_) MORAINE_CHECK(slab.used == 0);
  slabs_.clear();
  piece_bytes_ = align_place(bytes);
  per_slab_ = static_cast<int32_t>(
      std::clamp<uint64_t>(piece_bytes_ > 0 ? kSlabBytes / piece_bytes_ : 1, 1, kMaxSlabPieces));
}

int32_t DeviceSlots::allocate(Device& device, MemoryUse use, const char* what) {
  const uint32_t full = per_slab_ == 32 ? ~0u : (1u << per_slab_) - 1;
  const auto has_room = [&](const Slab& s) { return s.buffer && s.used != full; };
  auto slab = std::find_if(slabs_.begin(), slabs_.end(), has_room);
  if (slab == slabs_.end()) {
    slab = std::find_if(slabs_.begin(), slabs_.end(), [](const Slab& s) { return !s.buffer; });
    if (slab == slabs_.end()) slabs_.emplace_back(), slab = slabs_.end() - 1;
    slab->buffer = std::make_unique<Buffer>(device, per_slab_ * piece_bytes_, use, what);
  }
  const int bit = std::countr_one(slab->used);
  slab->used |= 1u << bit;
  return static_cast<int32_t>(slab - slabs_.begin()) * per_slab_ + bit;
}

void DeviceSlots::free(int32_t id) noexcept {
  Slab& slab = slabs_[id / per_slab_];
  slab.used &= ~(1u << id % per_slab_);
  const auto empty = [](const Slab& s) { return s.buffer && s.used == 0; };
  if (empty(slab) && std::count_if(slabs_.begin(), slabs_.end(), empty) > 1) slab.buffer.reset();
}

Place DeviceSlots::place(int32_t id) const {
  return {slabs_[id / per_slab_].buffer.get(), id % per_slab_ * piece_bytes_};
}

}  // namespace moraine::vulkan
