// The folder in which the cache lies on disk: one folder for each model and its numerics, their files in it.
// Owns who may look into it, how much it holds and what goes first. Several programs may share it: each finds
// what the others wrote and removed by looking. What is in a file: disk_file.h.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace moraine::cache {

// An open folder.
class FolderFd {
 public:
  FolderFd() = default;
  explicit FolderFd(int fd) : fd_(fd) {}
  FolderFd(FolderFd&& o) noexcept;
  FolderFd& operator=(FolderFd&& o) noexcept;
  ~FolderFd();
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

struct DiskUse {
  struct Model {
    std::string name;  // of its folder
    uint64_t bytes = 0;
    int64_t files = 0;
    int64_t last_used = 0;  // seconds since 1970; 0: never
  };
  std::vector<Model> models;  // the one used last first
  uint64_t bytes = 0;
  int64_t files = 0;
};

class DiskFolder {
 public:
  // Makes the folder and those above it where they are missing, for this user alone. Throws
  // Error{kIo, kInvalidArgument} where it cannot be made or written, is another user's, or where others may
  // look into it.
  explicit DiskFolder(const std::string& path);
  // The same for a look: nothing is made. Throws Error{kNotFound} too.
  static DiskFolder existing(const std::string& path);

  const std::string& path() const { return path_; }
  // One model's folder, made where it is missing; while it is open, clear() leaves it (empty). Throws
  // Error{kIo}.
  FolderFd model(const std::string& name) const;

  DiskUse use() const;
  // Removes what was used longest ago until no more than max_bytes are left and the file system keeps some
  // room for others. Returns how many bytes are left. What programs that died had half written goes too.
  uint64_t shrink(uint64_t max_bytes) const;
  // Removes all; returns what there was. Files that are not the cache's stay.
  DiskUse clear() const;

 private:
  DiskFolder(const std::string& path, bool make);
  struct File;
  std::vector<File> files(bool with_passing) const;

  std::string path_;
  FolderFd fd_;
};

// A name for a thread's n-th file while it is not finished; no other program's or thread's.
std::string passing_name(uint64_t n);

}  // namespace moraine::cache
