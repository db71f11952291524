// Device memory: a buffer with its address, and arenas that many things share. Which memory type a
// buffer gets is decided here alone.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "backend/vulkan/device.h"

namespace moraine::vulkan {

enum class MemoryUse : uint8_t {
  kDevice,          // fast for the device; mapped where the device and the host share memory
  kDeviceUnmapped,  // as kDevice, never mapped: what a discrete GPU is like
  kUpload,          // the host writes, the device reads: step inputs, staging
  kReadback,        // the device writes, the host reads: logits, in cached memory
};

class Buffer {
 public:
  // Tries each memory type that fits, best first, so that an allocation that one heap refuses goes to
  // the next. Throws Error{kOutOfMemory} with the size; what completes "... memory for <what>".
  Buffer(Device& device, uint64_t bytes, MemoryUse use, const char* what);
  ~Buffer();
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  VkBuffer handle() const { return buffer_; }
  uint64_t address() const { return address_; }
  uint8_t* mapped() const { return mapped_; }  // null where the host cannot see it
  uint64_t size() const { return size_; }

 private:
  bool allocate(const VkMemoryRequirements& need, VkMemoryPropertyFlags flags);
  void release() noexcept;

  Device& device_;
  VkBuffer buffer_ = VK_NULL_HANDLE;
  VkDeviceMemory memory_ = VK_NULL_HANDLE;
  uint64_t address_ = 0;
  uint8_t* mapped_ = nullptr;
  uint64_t size_ = 0;
};

// A place inside a buffer.
struct Place {
  Buffer* buffer = nullptr;
  uint64_t offset = 0;
  uint64_t address() const { return buffer->address() + offset; }
};

constexpr uint64_t kPlaceAlignment = 256;

// Packs sizes into as few buffers as an allocation limit allows, in order. Throws as Buffer does, and
// Error{kUnsupported} where one thing alone is more than the device allocates at once.
std::vector<Place> place_all(Device& device, const std::vector<uint64_t>& sizes, uint64_t arena_bytes,
                             MemoryUse use, const char* what, std::vector<std::unique_ptr<Buffer>>& arenas);

// Copies host bytes to places that the host cannot write, through a small staging buffer.
class Uploader {
 public:
  explicit Uploader(Device& device);
  // Waits until the bytes are there. Threads may call it at once. Throws Error.
  void write(const Place& to, const void* data, uint64_t bytes);

 private:
  Device& device_;
  std::mutex mutex_;
  Buffer staging_;
  Commands commands_;
};

}  // namespace moraine::vulkan
