// Reads small text files below a folder that stands for "/": this machine, or a tree captured from another.
// Everything there is hostile: reads are bounded, only regular files are opened, links do not lead out of a
// captured tree. Who reads what: base/system_memory.h, src/system.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace moraine {

class RootFiles {
 public:
  static constexpr size_t kMaxFileBytes = 256 << 10, kMaxEntries = 4096;

  explicit RootFiles(std::string root = "/");

  const std::string& root() const noexcept { return root_; }
  bool is_live() const noexcept { return root_ == "/"; }  // this machine, not a capture
  std::string on_disk(const std::string& path) const;     // "/etc/fstab" below the root

  struct Text {
    std::string text;
    int error = 0;     // errno; 0: read (a file cut at the limit counts as read)
    bool cut = false;  // there was more than the limit
    explicit operator bool() const noexcept { return error == 0; }
  };
  // `path` begins with a slash, as on the machine itself.
  Text read(const std::string& path, size_t max_bytes = kMaxFileBytes) const;
  // The names in a folder, sorted; empty where it is missing or cannot be read. At most kMaxEntries.
  std::vector<std::string> list(const std::string& path) const;
  bool exists(const std::string& path) const;

 private:
  int open(const std::string& path, int flags) const;  // a descriptor, or -1 and errno
  std::string root_;
};

}  // namespace moraine
