#include "base/root_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace moraine {

RootFiles::RootFiles(std::string root) : root_(root.empty() ? std::string(1, '.') : std::move(root)) {
  while (root_.size() > 1 && root_.back() == '/') root_.pop_back();
}

std::string RootFiles::on_disk(const std::string& path) const { return is_live() ? path : root_ + path; }

int RootFiles::open(const std::string& path, int flags) const {
  flags |= O_CLOEXEC;
  if (!(flags & O_PATH)) flags |= O_NONBLOCK | O_NOCTTY;  // a pipe in a captured tree must not make us wait
  if (is_live()) return ::open(path.c_str(), flags);
  const int folder = ::open(root_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return -1;
  open_how how{};
  how.flags = static_cast<unsigned>(flags);
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  int fd = static_cast<int>(::syscall(SYS_openat2, folder, path.c_str(), &how, sizeof how));
  // Kernels before 5.6 and some sandboxes have no openat2: links are not followed at all then.
  if (fd < 0 && (errno == ENOSYS || errno == EPERM))
    fd = ::openat(folder, path.c_str() + 1, flags | O_NOFOLLOW);
  const int error = errno;
  ::close(folder);
  errno = error;
  return fd;
}

RootFiles::Text RootFiles::read(const std::string& path, size_t max_bytes) const {
  Text out;
  const int fd = open(path, O_RDONLY);
  if (fd < 0) {
    out.error = errno;
    return out;
  }
  struct stat status{};
  if (::fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
    ::close(fd);
    out.error = EINVAL;
    return out;
  }
  char buffer[16384];
  while (true) {
    const ssize_t n = ::read(fd, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      out = {"", errno, false};
      break;
    }
    if (n == 0) break;
    out.text.append(buffer, static_cast<size_t>(n));
    if (out.text.size() > max_bytes) {
      out.text.resize(max_bytes);
      out.cut = true;
      break;
    }
  }
  ::close(fd);
  return out;
}

std::vector<std::string> RootFiles::list(const std::string& path) const {
  std::vector<std::string> names;
  const int fd = open(path, O_RDONLY | O_DIRECTORY);
  if (fd < 0) return names;
  DIR* folder = ::fdopendir(fd);
  if (folder == nullptr) {
    ::close(fd);
    return names;
  }
  while (const dirent* entry = ::readdir(folder)) {
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    names.push_back(name);
    if (names.size() == kMaxEntries) break;
  }
  ::closedir(folder);
  std::sort(names.begin(), names.end());
  return names;
}

bool RootFiles::exists(const std::string& path) const {
  const int fd = open(path, O_PATH);
  if (fd < 0) return false;
  ::close(fd);
  return true;
}

}  // namespace moraine
