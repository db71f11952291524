// Device memory: a buffer with its address, arenas that many things share, equal pieces that come and go,
// and the copies between host and device. Which memory type a buffer gets is decided here alone.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
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
  // Tries each memory type that fits, best first, and leaves out heaps that have less than this by the
  // driver's own account: what is granted beyond that fails later, or makes all of it slow. So an allocation
  // that one heap refuses goes to the next. Throws Error{kOutOfMemory} with the size; what completes
  // "... memory for <what>".
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
constexpr uint64_t align_place(uint64_t n) {
  return (n + kPlaceAlignment - 1) / kPlaceAlignment * kPlaceAlignment;
}

// Things of these sizes in as few arenas as possible, in order: an arena has at most arena_bytes, or one
// thing that is larger by itself.
struct Packing {
  struct Spot {
    size_t arena;
    uint64_t offset;
  };
  std::vector<Spot> spots;       // by thing
  std::vector<uint64_t> arenas;  // bytes
  uint64_t total() const;
};
Packing pack(std::span<const uint64_t> sizes, uint64_t arena_bytes);

// Copies by the device, each waited for. Threads may call at once. All throw Error.
class Transfers {
 public:
  explicit Transfers(Device& device);
  void write(const Place& to, const void* data, uint64_t bytes);  // whether the host sees the place or not
  void read(void* to, const Place& from, uint64_t bytes);
  void copy(const Place& to, const Place& from, uint64_t bytes);
  void clear(const Place& place, uint64_t bytes);  // zeros; a multiple of four

 private:
  template <class Record>
  void run(const char* doing, Record&& record);

  Device& device_;
  std::mutex mutex_;
  std::unique_ptr<Buffer> upload_, readback_;  // made when first needed
  CommandList commands_;
  Timeline timeline_;
};

// Equal pieces of device memory by a small id. They come in slabs, as drivers allow only some thousands of
// allocations; of slabs that nobody uses one is kept.
class DeviceSlots {
 public:
  void set_piece_bytes(uint64_t bytes);  // forgets all pieces, of which none may be in use
  int32_t allocate(Device& device, MemoryUse use, const char* what);  // throws Error{kOutOfMemory}
  void free(int32_t id) noexcept;
  Place place(int32_t id) const;
  void clear() noexcept { slabs_.clear(); }
  uint64_t piece_bytes() const { return piece_bytes_; }

 private:
  struct Slab {
    std::unique_ptr<Buffer> buffer;  // null: an id range that waits for the next slab
    uint32_t used = 0;               // a bit for each piece
  };
  uint64_t piece_bytes_ = 0;
  int32_t per_slab_ = 1;
  std::vector<Slab> slabs_;
};

}  // namespace moraine::vulkan
