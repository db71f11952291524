#include "agents/settings_file.h"

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

namespace moraine::agents {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxBytes = 4 << 20;

[[noreturn]] void fail(const char* doing, const std::string& path, int error) {
  std::string remedy;
  if (error == EACCES || error == EPERM) remedy = " Change its rights, or make the change by hand.";
  if (error == ENOSPC || error == EDQUOT) remedy = " Make room and try again.";
  throw Error(ErrorCode::kIo, fmt::format("{} {} failed: {}. Nothing was changed.{}", doing, path,
                                          std::strerror(error), remedy));
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

void write_whole(const std::string& path, const std::string& text, mode_t mode) {
  std::string temporary = path + ".XXXXXX";
  Descriptor file(::mkostemp(temporary.data(), O_CLOEXEC));
  if (file.get() < 0) fail("Writing beside", path, errno);
  const auto give_up = [&](int error) {
    ::unlink(temporary.c_str());
    fail("Writing", path, error);
  };
  for (size_t done = 0; done < text.size();) {
    const ssize_t n = ::write(file.get(), text.data() + done, text.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) give_up(n < 0 ? errno : ENOSPC);
    done += static_cast<size_t>(n);
  }
  if (::fchmod(file.get(), mode) != 0 || ::fsync(file.get()) != 0) give_up(errno);
  if (::close(file.release()) != 0) give_up(errno);
  if (::rename(temporary.c_str(), path.c_str()) != 0) give_up(errno);
}

mode_t mode_of(const std::string& path) {
  struct stat status{};
  return ::stat(path.c_str(), &status) == 0 ? status.st_mode & 0777 : 0600;
}

}  // namespace

SettingsFile read_settings(const std::string& path) {
  std::error_code error;
  SettingsFile file{.path = path};
  if (const fs::path target = fs::weakly_canonical(path, error); !error && !target.empty())
    file.path = target.string();
  const Descriptor fd(::open(file.path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (fd.get() < 0) {
    if (errno == ENOENT) return file;
    fail("Reading", file.path, errno);
  }
  struct stat status{};
  if (::fstat(fd.get(), &status) != 0) fail("Reading", file.path, errno);
  if (!S_ISREG(status.st_mode))
    throw Error(ErrorCode::kIo, fmt::format("{} is no file. Nothing was changed.", file.path));
  file.exists = true;
  char block[65536];
  while (true) {
    const ssize_t n = ::read(fd.get(), block, sizeof block);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail("Reading", file.path, errno);
    if (n == 0) return file;
    file.text.append(block, static_cast<size_t>(n));
    if (file.text.size() > kMaxBytes)
      throw Error(ErrorCode::kIo,
                  fmt::format("{} is larger than settings are. Nothing was changed.", file.path));
  }
}

void write_settings(const SettingsFile& read, const std::string& text) {
  const SettingsFile now = read_settings(read.path);
  if (now.exists != read.exists || now.text != read.text)
    throw Error(ErrorCode::kIo, fmt::format("{} changed while it was being edited: try again.", read.path));
  std::error_code error;
  fs::create_directories(fs::path(read.path).parent_path(), error);
  if (error) fail("Making the folder of", read.path, error.value());
  const mode_t mode = read.exists ? mode_of(read.path) : 0600;
  if (!fs::exists(read.backup_path(), error)) write_whole(read.backup_path(), read.text, mode);
  write_whole(read.path, text, mode);
}

std::string read_backup(const SettingsFile& file) {
  const SettingsFile backup = read_settings(file.backup_path());
  if (!backup.exists)
    throw Error(ErrorCode::kNotFound,
                fmt::format("There is nothing to undo: {} was not written by moraine connect.", file.path));
  return backup.text;
}

void restore_settings(const SettingsFile& read, const std::string& before, const std::string& text) {
  if (before.empty() && text.empty()) {
    if (read.exists && ::unlink(read.path.c_str()) != 0) fail("Removing", read.path, errno);
  } else if (text != read.text) {
    write_whole(read.path, text, mode_of(read.path));
  }
  if (::unlink(read.backup_path().c_str()) != 0) fail("Removing", read.backup_path(), errno);
}

}  // namespace moraine::agents
