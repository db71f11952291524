#include "backend/vulkan/pipeline_cache.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>

#include "base/xxh64.h"

namespace moraine::vulkan {
namespace {

constexpr uint64_t kMagic = 0x3150435f45524f4d;  // "MORE_CP1", little-endian
constexpr uint64_t kMaxBytes = 64u << 20;

struct Header {
  uint64_t magic = kMagic;
  uint64_t size = 0;      // bytes that follow
  uint64_t checksum = 0;  // of them
};

class File {
 public:
  explicit File(int fd) : fd_(fd) {}
  ~File() {
    if (fd_ >= 0) ::close(fd_);
  }
  File(const File&) = delete;
  bool open() const { return fd_ >= 0; }
  int fd() const { return fd_; }
  bool read(void* to, size_t n) const {
    for (size_t done = 0; done < n;) {
      const ssize_t r = ::read(fd_, static_cast<char*>(to) + done, n - done);
      if (r <= 0) return false;
      done += static_cast<size_t>(r);
    }
    return true;
  }
  bool write(const void* from, size_t n) const {
    for (size_t done = 0; done < n;) {
      const ssize_t r = ::write(fd_, static_cast<const char*>(from) + done, n - done);
      if (r <= 0) return false;
      done += static_cast<size_t>(r);
    }
    return true;
  }

 private:
  int fd_;
};

bool is_mine_alone(const struct stat& s) { return s.st_uid == ::geteuid() && (s.st_mode & 022) == 0; }

// The head that every driver's data begins with (Vulkan specification, "Pipeline Cache Header").
bool is_of(const PhysicalDevice& device, std::span<const std::byte> data) {
  VkPipelineCacheHeaderVersionOne head;
  if (data.size() < sizeof head) return false;
  std::memcpy(&head, data.data(), sizeof head);
  return head.headerSize >= sizeof head && head.headerSize <= data.size() &&
         head.headerVersion == VK_PIPELINE_CACHE_HEADER_VERSION_ONE && head.vendorID == device.vendor_id &&
         head.deviceID == device.device_id &&
         std::memcmp(head.pipelineCacheUUID, device.pipeline_uuid.data(), VK_UUID_SIZE) == 0;
}

}  // namespace

std::string pipeline_cache_path(const std::string& folder, const PhysicalDevice& device) {
  if (folder.empty()) return "";
  std::string name = fmt::format("vulkan-{:04x}-{:04x}-", device.vendor_id, device.device_id);
  for (const uint8_t byte : device.pipeline_uuid) name += fmt::format("{:02x}", byte);
  return (std::filesystem::path(folder) / (name + ".bin")).string();
}

std::vector<std::byte> read_pipeline_cache(const std::string& path, const PhysicalDevice& device) {
  const File file(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  struct stat s;
  Header head;
  if (!file.open() || ::fstat(file.fd(), &s) != 0 || !S_ISREG(s.st_mode) || !is_mine_alone(s)) return {};
  if (!file.read(&head, sizeof head) || head.magic != kMagic || head.size > kMaxBytes ||
      head.size + sizeof head != static_cast<uint64_t>(s.st_size))
    return {};
  std::vector<std::byte> data(head.size);
  if (!file.read(data.data(), data.size()) || Xxh64::of(data) != head.checksum || !is_of(device, data))
    return {};
  return data;
}

bool write_pipeline_cache(const std::string& path, std::span<const std::byte> data) {
  if (data.size() > kMaxBytes) return false;
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  struct stat s;
  if (::stat(folder.c_str(), &s) != 0 || !is_mine_alone(s)) return false;
  // Under a name of its own first: another program may do the same, and a reader must see all or nothing.
  const std::string passing = fmt::format("{}.{}", path, ::getpid());
  ::unlink(passing.c_str());
  bool written = false;
  {
    const File file(::open(passing.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    const Header head{kMagic, data.size(), Xxh64::of(data)};
    written = file.open() && file.write(&head, sizeof head) && file.write(data.data(), data.size());
  }
  if (written && ::rename(passing.c_str(), path.c_str()) == 0) return true;
  ::unlink(passing.c_str());
  return false;
}

}  // namespace moraine::vulkan
