#include "hub/piece_map.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <moraine/error.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>

namespace moraine::hub {
namespace {

[[noreturn]] void fail(const std::filesystem::path& path) {
  throw Error(ErrorCode::kIo, fmt::format("{} cannot be written: {}.", path.string(), std::strerror(errno)));
}

std::string header_of(uint64_t size_bytes, const std::string& boot) {
  // Of one length whatever the boot's name, so that the states keep their place.
  return fmt::format("moraine pieces 1 {:>20} {:>8} {:>40}\n", size_bytes, PieceMap::kPieceBytes,
                     boot.substr(0, 40));
}

}  // namespace

std::string PieceMap::this_boot() {
  std::ifstream in("/proc/sys/kernel/random/boot_id");
  std::string id;
  std::getline(in, id);
  return id.size() > 40 ? "" : id;
}

std::string PieceMap::read_states(int fd, uint64_t size_bytes, const std::string& boot) {
  const std::string header = header_of(size_bytes, boot);
  const size_t n = (size_bytes + kPieceBytes - 1) / kPieceBytes;
  std::string text(header.size() + n + 1, '\0');  // one more than there should be
  const ssize_t got = ::pread(fd, text.data(), text.size(), 0);
  // File size and piece size must agree; the boot may be another one.
  const size_t same = header_of(size_bytes, "").find_last_not_of(" \n") + 1;
  if (got != static_cast<ssize_t>(header.size() + n) || text.compare(0, same, header, 0, same) != 0)
    return std::string(n, kMissing);
  const bool same_boot = !boot.empty() && text.compare(0, header.size(), header) == 0;
  std::string states = text.substr(header.size(), n);
  for (char& c : states)
    if (c != kFlushed && !(c == kWritten && same_boot)) c = kMissing;
  return states;
}

PieceMap::PieceMap(const std::filesystem::path& path, uint64_t size_bytes, bool data_exists,
                   const std::string& boot)
    : path_(path), size_bytes_(size_bytes) {
  fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
  if (fd_ < 0) fail(path);
  const std::string header = header_of(size_bytes, boot);
  header_bytes_ = header.size();
  states_ = read_states(fd_, size_bytes, boot);
  if (!data_exists) states_.assign(states_.size(), kMissing);
  const std::string now = header + states_;
  if (::ftruncate(fd_, static_cast<off_t>(now.size())) != 0 ||
      ::pwrite(fd_, now.data(), now.size(), 0) != static_cast<ssize_t>(now.size())) {
    const int error = errno;
    ::close(fd_);
    errno = error;
    fail(path);
  }
}

uint64_t PieceMap::bytes_recorded(const std::filesystem::path& path, uint64_t size_bytes,
                                  const std::string& boot) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return 0;
  const std::string states = read_states(fd, size_bytes, boot);
  ::close(fd);
  uint64_t sum = 0;
  for (size_t i = 0; i < states.size(); ++i)
    if (states[i] != kMissing) sum += std::min(size_bytes, (i + 1) * kPieceBytes) - i * kPieceBytes;
  return sum;
}

PieceMap::~PieceMap() {
  if (fd_ >= 0) ::close(fd_);
}

uint64_t PieceMap::end_of(size_t piece) const { return std::min(size_bytes_, (piece + 1) * kPieceBytes); }

uint64_t PieceMap::bytes_there() const {
  uint64_t sum = 0;
  for (size_t i = 0; i < states_.size(); ++i)
    if (has(i)) sum += end_of(i) - begin_of(i);
  return sum;
}

void PieceMap::store(size_t piece) {
  if (::pwrite(fd_, &states_[piece], 1, static_cast<off_t>(header_bytes_ + piece)) != 1) fail(path_);
}

void PieceMap::set_written(size_t piece) {
  if (states_[piece] == kFlushed) return;
  states_[piece] = kWritten;
  store(piece);
}

std::vector<size_t> PieceMap::written() const {
  std::vector<size_t> out;
  for (size_t i = 0; i < states_.size(); ++i)
    if (states_[i] == kWritten) out.push_back(i);
  return out;
}

void PieceMap::set_flushed(const std::vector<size_t>& pieces) {
  for (const size_t i : pieces) {
    states_[i] = kFlushed;
    store(i);
  }
}

}  // namespace moraine::hub
