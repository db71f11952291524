#include "system/write_config.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <moraine/error.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <utility>

namespace moraine::system {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const std::string& doing, const std::string& path, int error) {
  std::string remedy;
  if (error == EACCES || error == EPERM) remedy = " Run it with sudo, or make the change by hand.";
  if (error == EROFS) remedy = " The file system is read-only: make it writable, or make the change by hand.";
  if (error == ENOSPC || error == EDQUOT || error == EFBIG) remedy = " Make room and try again.";
  if (error == ENOENT) remedy = " The folder is not there.";
  throw Error(ErrorCode::kIo, fmt::format("{} {} failed: {}. The file is as it was.{}", doing, path,
                                          std::strerror(error), remedy));
}

// A file being written that nobody knows of until commit().
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& beside) : name_(beside + ".XXXXXX") {
    fd_ = ::mkostemp(name_.data(), O_CLOEXEC);
    if (fd_ < 0) fail("Writing a file beside", beside, errno);
  }
  ~TemporaryFile() {
    if (fd_ >= 0) ::close(fd_);
    if (!committed_) ::unlink(name_.c_str());
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  void write(const std::string& text, const std::string& target) {
    for (size_t done = 0; done < text.size();) {
      const ssize_t n = ::write(fd_, text.data() + done, text.size() - done);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) fail("Writing", target, n < 0 ? errno : ENOSPC);
      done += static_cast<size_t>(n);
    }
    if (::fsync(fd_) != 0) fail("Writing", target, errno);
  }
  void take_rights(mode_t mode, uid_t uid, gid_t gid) {
    // The EFI partition knows neither: what cannot be set there is the mount's to say.
    if (::fchown(fd_, uid, gid) != 0 || ::fchmod(fd_, mode) != 0) return;
  }
  void commit(const std::string& target) {
    if (::close(std::exchange(fd_, -1)) != 0) fail("Writing", target, errno);
    if (::rename(name_.c_str(), target.c_str()) != 0) fail("Replacing", target, errno);
    committed_ = true;
    const int folder = ::open(fs::path(target).parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) return;
    ::fsync(folder);  // the rename itself; the file's bytes are safe already
    ::close(folder);
  }

 private:
  std::string name_;
  int fd_ = -1;
  bool committed_ = false;
};

void write_whole(const std::string& path, const std::string& text, mode_t mode, uid_t uid, gid_t gid) {
  TemporaryFile file(path);
  file.write(text, path);
  file.take_rights(mode, uid, gid);
  file.commit(path);
}

}  // namespace

Written write_edit(const RootFiles& files, const FileEdit& edit) {
  const std::string path = files.on_disk(edit.path);
  struct stat status{};
  const bool exists = ::lstat(path.c_str(), &status) == 0;
  if (!exists && errno != ENOENT) fail("Looking at", path, errno);
  if (exists && !S_ISREG(status.st_mode))
    throw Error(ErrorCode::kIo, fmt::format("{} is a link or no file: make the change by hand.", path));
  // Not through links out of a captured tree either.
  std::error_code error;
  const fs::path folder = fs::canonical(fs::path(path).parent_path(), error);
  if (error) fail("Opening the folder of", path, error.value());
  const fs::path root = fs::canonical(files.root(), error);
  if (!files.is_live() && !(folder.string() + "/").starts_with(root.string() + "/"))
    throw Error(ErrorCode::kIo, fmt::format("{} lies outside {}: nothing was written.", path, root.string()));

  const RootFiles::Text now = files.read(edit.path);
  if (exists && !now) fail("Reading", path, now.error);
  if (exists == edit.is_new || (exists && now.text != edit.old_text))
    throw Error(ErrorCode::kIo, fmt::format("{} changed since it was read: run doctor again.", path));

  Written written{path, ""};
  if (exists) {
    written.backup = path + ".before-moraine";
    struct stat backup{};
    if (::lstat(written.backup.c_str(), &backup) != 0)
      write_whole(written.backup, edit.old_text, status.st_mode & 07777, status.st_uid, status.st_gid);
  }
  write_whole(path, edit.new_text, exists ? status.st_mode & 07777 : 0644,
              exists ? status.st_uid : ::geteuid(), exists ? status.st_gid : ::getegid());
  return written;
}

}  // namespace moraine::system
