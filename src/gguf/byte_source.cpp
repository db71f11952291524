// Plain open, pread and posix_fadvise; what the system refuses becomes an Error that names the path.
#include "gguf/byte_source.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <moraine/error.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "gguf/value.h"

namespace moraine::gguf {
namespace {

constexpr uint64_t kPageBytes = 4096;

std::string shown(const std::filesystem::path& path) { return escape_text(path.native(), 4096); }

}  // namespace

void MemorySource::read_at(uint64_t offset, std::span<std::byte> out) const {
  MORAINE_CHECK(offset <= bytes_.size() && out.size() <= bytes_.size() - offset);
  if (!out.empty()) std::memcpy(out.data(), bytes_.data() + offset, out.size());
}

FileSource::FileSource(const std::filesystem::path& path) : path_(path) {
  // O_NONBLOCK: opening a named pipe must not wait for a writer. It changes nothing for regular files.
  fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd_ < 0) {
    const int e = errno;
    if (e == ENOENT || e == ENOTDIR)
      throw Error(ErrorCode::kNotFound, fmt::format("There is no file {}. Check the path.", shown(path)));
    throw Error(ErrorCode::kIo, fmt::format("{} cannot be opened: {}.", shown(path), std::strerror(e)));
  }
  struct stat st{};
  const int rc = ::fstat(fd_, &st);
  const int e = errno;
  if (rc != 0 || !S_ISREG(st.st_mode)) {
    ::close(fd_);
    if (rc != 0)
      throw Error(ErrorCode::kIo, fmt::format("{} cannot be examined: {}.", shown(path), std::strerror(e)));
    throw Error(ErrorCode::kInvalidArgument,
                S_ISDIR(st.st_mode)
                    ? fmt::format("{} is a directory. Give the path of the .gguf file in it.", shown(path))
                    : fmt::format("{} is not a regular file. Give the path of a .gguf file.", shown(path)));
  }
  size_bytes_ = static_cast<uint64_t>(st.st_size);
  identity_ = {static_cast<uint64_t>(st.st_dev), static_cast<uint64_t>(st.st_ino), size_bytes_,
               static_cast<int64_t>(st.st_mtim.tv_sec) * 1'000'000'000 + st.st_mtim.tv_nsec};
}

FileSource::FileSource(FileSource&& other) noexcept
    : path_(std::move(other.path_)),
      fd_(std::exchange(other.fd_, -1)),
      size_bytes_(other.size_bytes_),
      identity_(other.identity_) {}

FileSource::~FileSource() {
  if (fd_ >= 0) ::close(fd_);
}

void FileSource::read_at(uint64_t offset, std::span<std::byte> out) const {
  while (!out.empty()) {
    const ssize_t n = ::pread(fd_, out.data(), out.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0)
      throw Error(ErrorCode::kIo, fmt::format("Reading {} bytes at byte {} of {} failed: {}.", out.size(),
                                              offset, shown(path_), std::strerror(errno)));
    if (n == 0)
      throw Error(ErrorCode::kCorruptFile,
                  fmt::format("{} ended at byte {} although it had {} bytes when it was opened: it is being "
                              "changed by another program. Wait until it is complete and try again.",
                              shown(path_), offset, size_bytes_));
    out = out.subspan(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
}

void FileSource::drop_cache(uint64_t offset, uint64_t size) const noexcept {
  // The kernel drops whole pages only. Starting at the page of the first byte also drops the page that
  // the range before this one shares with it, so a stream of adjoining ranges leaves nothing behind.
  const uint64_t begin = offset / kPageBytes * kPageBytes;
  if (size > 0)
    ::posix_fadvise(fd_, static_cast<off_t>(begin), static_cast<off_t>(offset - begin + size),
                    POSIX_FADV_DONTNEED);
}

}  // namespace moraine::gguf
