#include "epic/files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <moraine/error.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>

namespace moraine::epic {

std::string read_file(const std::string& path, size_t most_bytes) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error))
    throw Error(ErrorCode::kNotFound, fmt::format("{} is not there, or no file.", path));
  std::ifstream file(path, std::ios::binary);
  std::string text(most_bytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.bad() || !file.is_open())
    throw Error(ErrorCode::kIo, fmt::format("Reading {} failed: {}.", path, std::strerror(errno)));
  text.resize(static_cast<size_t>(file.gcount()));
  if (text.size() > most_bytes)
    throw Error(ErrorCode::kInvalidArgument, fmt::format("{} has more than {} bytes.", path, most_bytes));
  return text;
}

void write_file(const std::string& path, std::string_view text) {
  const auto fail = [&](int error) {
    throw Error(ErrorCode::kIo, fmt::format("Writing {} failed: {}.", path, std::strerror(error)));
  };
  const std::string passing = path + ".new";
  const int fd = ::open(passing.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) fail(errno);
  int error = 0;
  while (!text.empty() && error == 0) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n > 0)
      text.remove_prefix(static_cast<size_t>(n));
    else if (n < 0 && errno != EINTR)
      error = errno;
  }
  if (error == 0 && ::fsync(fd) != 0) error = errno;
  if (::close(fd) != 0 && error == 0) error = errno;
  if (error == 0 && ::rename(passing.c_str(), path.c_str()) != 0) error = errno;
  if (error != 0) {
    ::unlink(passing.c_str());
    fail(error);
  }
}

}  // namespace moraine::epic
