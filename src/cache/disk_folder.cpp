#include "cache/disk_folder.h"

#include <moraine/error.h>

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <utility>

#include "cache/disk_file.h"

namespace moraine::cache {
namespace {

constexpr mode_t kUserOnly = 0700;
constexpr std::string_view kPassing = ".writing-";
constexpr int64_t kPassingSeconds = 600;       // no write takes longer
constexpr uint64_t kMostReserve = 1ull << 30;  // bytes left free on the file system, at most a tenth of it

[[noreturn]] void refuse(ErrorCode code, const std::string& path, const std::string& why) {
  throw Error(
      code,
      fmt::format("The cache folder {} cannot be used: {}. Name another one (--cache-disk DIR), or none "
                  "(--cache-disk off).",
                  path, why));
}

void each_name(int folder, const std::function<void(const char*)>& fn) {
  const int copy = ::openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);  // its own place in the listing
  if (copy < 0) return;
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::fdopendir(copy), ::closedir);
  if (!dir) {
    ::close(copy);
    return;
  }
  while (const dirent* e = ::readdir(dir.get())) fn(e->d_name);
}

FolderFd open_folder(int parent, const char* name) {
  return FolderFd(::openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

}  // namespace

FolderFd::FolderFd(FolderFd&& o) noexcept : fd_(std::exchange(o.fd_, -1)) {}
FolderFd& FolderFd::operator=(FolderFd&& o) noexcept {
  std::swap(fd_, o.fd_);
  return *this;
}
FolderFd::~FolderFd() {
  if (fd_ >= 0) ::close(fd_);
}

std::string passing_name(uint64_t n) {
  return fmt::format("{}{}-{}-{:x}", kPassing, ::gettid(), n, std::time(nullptr));
}

struct DiskFolder::File {
  std::string model, name;
  uint64_t bytes = 0;
  timespec used{};
  bool passing = false;  // not finished
};

DiskFolder::DiskFolder(const std::string& path) : DiskFolder(path, true) {}
DiskFolder DiskFolder::existing(const std::string& path) { return DiskFolder(path, false); }

DiskFolder::DiskFolder(const std::string& path, bool make) : path_(path) {
  if (make) {
    std::error_code error;
    const auto above = std::filesystem::absolute(path, error).parent_path();
    if (!above.empty()) std::filesystem::create_directories(above, error);
    if (::mkdir(path.c_str(), kUserOnly) != 0 && errno != EEXIST)
      refuse(ErrorCode::kIo, path, std::strerror(errno));
  }
  fd_ = FolderFd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd_) refuse(errno == ENOENT ? ErrorCode::kNotFound : ErrorCode::kIo, path, std::strerror(errno));
  struct stat s{};
  if (::fstat(fd_.get(), &s) != 0) refuse(ErrorCode::kIo, path, std::strerror(errno));
  if (s.st_uid != ::geteuid()) refuse(ErrorCode::kInvalidArgument, path, "it belongs to another user");
  if ((s.st_mode & 077) != 0)
    refuse(ErrorCode::kInvalidArgument, path,
           fmt::format(
               "other users may look into it (mode {:03o}), and what prompts leave behind is nobody else's "
               "affair; chmod 700 closes it",
               s.st_mode & 0777));
  if (make && ::faccessat(fd_.get(), ".", W_OK, AT_EACCESS) != 0)
    refuse(ErrorCode::kIo, path, std::strerror(errno));
}

FolderFd DiskFolder::model(const std::string& name) const {
  ::mkdirat(fd_.get(), name.c_str(), kUserOnly);
  FolderFd folder = open_folder(fd_.get(), name.c_str());
  if (!folder) refuse(ErrorCode::kIo, path_ + "/" + name, std::strerror(errno));
  ::flock(folder.get(), LOCK_SH | LOCK_NB);
  return folder;
}

// Names that are the cache's alone: what else lies there is not touched.
std::vector<DiskFolder::File> DiskFolder::files(bool with_passing) const {
  std::vector<File> found;
  each_name(fd_.get(), [&](const char* model) {
    if (model[0] == '.') return;
    const FolderFd folder = open_folder(fd_.get(), model);
    if (!folder) return;
    each_name(folder.get(), [&](const char* name) {
      const bool passing = std::string_view(name).starts_with(kPassing);
      if (passing ? !with_passing : !DiskName::parse(name)) return;
      struct stat s{};
      if (::fstatat(folder.get(), name, &s, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(s.st_mode)) return;
      found.push_back({model, name, static_cast<uint64_t>(s.st_size), s.st_mtim, passing});
    });
  });
  return found;
}

DiskUse DiskFolder::use() const {
  std::map<std::string, DiskUse::Model> models;
  DiskUse all;
  for (const File& f : files(false)) {
    DiskUse::Model& m = models[f.model];
    m.name = f.model;
    m.bytes += f.bytes, all.bytes += f.bytes;
    ++m.files, ++all.files;
    m.last_used = std::max<int64_t>(m.last_used, f.used.tv_sec);
  }
  for (auto& [name, m] : models) all.models.push_back(std::move(m));
  std::stable_sort(all.models.begin(), all.models.end(),
                   [](const auto& a, const auto& b) { return a.last_used > b.last_used; });
  return all;
}

uint64_t DiskFolder::shrink(uint64_t max_bytes) const {
  std::vector<File> all = files(true);
  uint64_t bytes = 0;
  for (const File& f : all) bytes += f.bytes;
  struct statvfs fs{};
  if (::fstatvfs(fd_.get(), &fs) == 0) {
    const uint64_t free = fs.f_bavail * fs.f_frsize,
                   reserve = std::min(kMostReserve, fs.f_blocks * fs.f_frsize / 10);
    if (free < reserve) max_bytes = std::min(max_bytes, bytes - std::min(bytes, reserve - free));
  }
  // Oldest first; a chain's end is older than its beginning (disk_store.cpp), and so goes before it.
  std::sort(all.begin(), all.end(), [](const File& a, const File& b) {
    return std::pair(a.used.tv_sec, a.used.tv_nsec) < std::pair(b.used.tv_sec, b.used.tv_nsec);
  });
  const int64_t now = std::time(nullptr);
  for (const File& f : all) {
    const bool dead = f.passing && f.used.tv_sec + kPassingSeconds < now;
    if (!dead && (f.passing || bytes <= max_bytes)) continue;
    const FolderFd folder = open_folder(fd_.get(), f.model.c_str());
    if (folder && (::unlinkat(folder.get(), f.name.c_str(), 0) == 0 || errno == ENOENT)) bytes -= f.bytes;
  }
  return bytes;
}

DiskUse DiskFolder::clear() const {
  const DiskUse was = use();
  for (const File& f : files(true)) {
    const FolderFd folder = open_folder(fd_.get(), f.model.c_str());
    if (folder) ::unlinkat(folder.get(), f.name.c_str(), 0);
  }
  std::vector<std::string> folders;
  each_name(fd_.get(), [&](const char* name) {
    if (name[0] != '.') folders.emplace_back(name);
  });
  for (const std::string& f : folders) {  // empty ones that nobody has open
    const FolderFd folder = open_folder(fd_.get(), f.c_str());
    if (folder && ::flock(folder.get(), LOCK_EX | LOCK_NB) == 0)
      ::unlinkat(fd_.get(), f.c_str(), AT_REMOVEDIR);
  }
  return was;
}

}  // namespace moraine::cache
