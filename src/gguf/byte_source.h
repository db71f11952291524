// Where a parser's bytes come from: a file or memory. Lets the same parser run on disk files, in
// tests and under the fuzzer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

namespace moraine::gguf {

class ByteSource {
 public:
  virtual ~ByteSource() = default;
  virtual uint64_t size_bytes() const noexcept = 0;
  // Fills `out` from `offset` on, which the caller has checked against size_bytes(). Throws kIo, or
  // kCorruptFile where the source turns out shorter than it said.
  virtual void read_at(uint64_t offset, std::span<std::byte> out) const = 0;
};

class MemorySource final : public ByteSource {
 public:
  explicit MemorySource(std::span<const std::byte> bytes) : bytes_(bytes) {}  // borrowed
  uint64_t size_bytes() const noexcept override { return bytes_.size(); }
  void read_at(uint64_t offset, std::span<std::byte> out) const override;

 private:
  std::span<const std::byte> bytes_;
};

// Which file this is and when it was last written: equal means unchanged.
struct FileIdentity {
  uint64_t device = 0;
  uint64_t inode = 0;
  uint64_t size_bytes = 0;
  int64_t modified_ns = 0;
  bool operator==(const FileIdentity&) const = default;
};

class FileSource final : public ByteSource {
 public:
  // Regular files only. Throws kNotFound, kIo, or kInvalidArgument for directories and devices.
  explicit FileSource(const std::filesystem::path& path);
  FileSource(FileSource&& other) noexcept;
  FileSource& operator=(FileSource&&) = delete;
  ~FileSource() override;

  uint64_t size_bytes() const noexcept override { return size_bytes_; }  // when it was opened
  void read_at(uint64_t offset, std::span<std::byte> out) const override;
  void drop_cache(uint64_t offset, uint64_t size) const noexcept;
  const std::filesystem::path& path() const noexcept { return path_; }
  FileIdentity identity() const noexcept { return identity_; }

 private:
  std::filesystem::path path_;
  int fd_ = -1;
  uint64_t size_bytes_ = 0;
  FileIdentity identity_;
};

}  // namespace moraine::gguf
