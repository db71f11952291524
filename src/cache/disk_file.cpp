#include "cache/disk_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <memory>

#include "base/xxh64.h"

namespace moraine::cache {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr std::array<char, 8> kMagic = {'M', 'O', 'R', 'A', 'I', 'N', 'K', 'V'};
constexpr uint32_t kVersion = 1;  // of this format; another one's files are refused
constexpr size_t kPieceBytes = 1 << 20;
constexpr size_t kCopyBytes =
    4 << 20;  // of a page or a state at once: a device may copy behind its work only
constexpr int kUserOnly = 0600;

struct Header {
  std::array<char, 8> magic = kMagic;
  uint32_t version = kVersion;
  uint32_t is_state = 0;
  uint64_t identity = 0;
  uint64_t scope = 0;
  uint64_t n_tokens = 0;                     // from the sequence's first
  uint64_t page_bytes = 0, state_bytes = 0;  // in this file
  std::array<uint64_t, 8> reserved{};
  uint64_t checksum = 0;  // XXH64 of the file with 0 here
};
static_assert(sizeof(Header) == 128 && std::has_unique_object_representations_v<Header>);

class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  ~Fd() {
    if (fd_ >= 0) ::close(fd_);
  }
  Fd(const Fd&) = delete;
  int get() const { return fd_; }
  bool close() { return ::close(std::exchange(fd_, -1)) == 0; }

 private:
  int fd_;
};

bool write_all(int fd, std::span<const std::byte> bytes, off_t at) {
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(fd, bytes.data(), std::min(bytes.size(), kPieceBytes), at);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    bytes = bytes.subspan(n), at += n;
  }
  return true;
}

bool read_all(int fd, std::span<std::byte> bytes, uint64_t offset, Xxh64* sum = nullptr) {
  while (!bytes.empty()) {
    const ssize_t n =
        ::pread(fd, bytes.data(), std::min(bytes.size(), kPieceBytes), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    if (sum) sum->add(bytes.first(n));  // while it is in the CPU's cache
    bytes = bytes.subspan(n), offset += n;
  }
  return true;
}

// Calls copy(part, offset, piece) for the page and the state piece by piece, each a buffer for the part's
// bytes from `offset` on, until one does not succeed.
template <class Copy>
DiskStatus copy_pieces(const DiskContent& content, Copy&& copy) {
  for (const plan::Contents* part : {&content.page, &content.state}) {
    const size_t most = std::min<uint64_t>(part->size, kCopyBytes);
    const auto buffer = std::make_unique_for_overwrite<uint8_t[]>(most);
    for (uint64_t done = 0; done < part->size; done += kCopyBytes) {
      const std::span<uint8_t> piece(buffer.get(), std::min<uint64_t>(part->size - done, most));
      if (const DiskStatus status = copy(*part, done, piece); status != DiskStatus::kOk) return status;
    }
  }
  return DiskStatus::kOk;
}

// What plan::Contents could not copy.
DiskStatus failed_there() { return errno == ENODEV ? DiskStatus::kLost : DiskStatus::kFailed; }

Header header_of(const DiskName& name, const DiskLayout& layout, uint64_t scope, uint64_t n_tokens) {
  Header h;
  h.is_state = name.is_state;
  h.identity = layout.identity;
  h.scope = scope;
  h.n_tokens = n_tokens;
  h.page_bytes = name.has_page() ? layout.page_bytes : 0;
  h.state_bytes = name.is_state ? layout.state_bytes : 0;
  return h;
}

uint64_t file_bytes(const Header& h) {
  return sizeof(Header) + h.n_tokens * sizeof(TokenId) + h.page_bytes + h.state_bytes;
}

bool same(const Header& a, const Header& b) { return std::memcmp(&a, &b, sizeof(Header)) == 0; }

uint64_t hash_tokens(std::span<const TokenId> tokens, uint64_t seed) {
  return Xxh64::of(std::as_bytes(tokens), seed);
}

bool parse_hex(std::string_view text, uint64_t& value) {
  const auto r = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  return r.ec == std::errc() && r.ptr == text.data() + text.size();
}

}  // namespace

DiskKey root_key(uint64_t scope) { return {Xxh64::of(std::as_bytes(std::span(&scope, 1)), 1), scope}; }

DiskKey next_key(const DiskKey& parent, std::span<const TokenId> tokens) {
  return {hash_tokens(tokens, parent.high), hash_tokens(tokens, ~parent.low)};
}

bool DiskName::has_page() const { return !is_state || n_tokens < plan::kPageTokens; }

std::string DiskName::text() const {
  return fmt::format("{:016x}{:016x}-{:03d}-{:016x}{:016x}.{}", parent.high, parent.low, n_tokens, key.high,
                     key.low, is_state ? "state" : "page");
}

std::optional<DiskName> DiskName::parse(std::string_view text) {
  DiskName n;
  if (text.size() < 74) return std::nullopt;  // two keys, three digits, the dashes and ".page"
  uint64_t tokens = 0;
  for (const char c : text.substr(33, 3))
    if (c < '0' || c > '9')
      return std::nullopt;
    else
      tokens = 10 * tokens + (c - '0');
  n.n_tokens = static_cast<int32_t>(tokens);
  n.is_state = text.ends_with(".state");
  const bool ok = parse_hex(text.substr(0, 16), n.parent.high) &&
                  parse_hex(text.substr(16, 16), n.parent.low) &&
                  parse_hex(text.substr(37, 16), n.key.high) && parse_hex(text.substr(53, 16), n.key.low);
  if (!ok || n.n_tokens < 1 || n.n_tokens > plan::kPageTokens || n.text() != text) return std::nullopt;
  return n;
}

DiskStatus open_own_file(int folder, const std::string& name, int& fd, uint64_t& size) {
  fd = ::openat(folder, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0)
    return errno == ENOENT  ? DiskStatus::kMissing
           : errno == ELOOP ? DiskStatus::kRefused
                            : DiskStatus::kFailed;
  struct stat s{};
  if (::fstat(fd, &s) != 0) return DiskStatus::kFailed;
  if (!S_ISREG(s.st_mode) || s.st_uid != ::geteuid()) return DiskStatus::kRefused;
  size = static_cast<uint64_t>(s.st_size);
  return DiskStatus::kOk;
}

DiskStatus write_disk_record(int fd, const DiskName& name, const DiskLayout& layout,
                             const DiskContent& content) {
  Header header = header_of(name, layout, content.scope, content.tokens.size());
  if (content.page.size != header.page_bytes || content.state.size != header.state_bytes)
    return DiskStatus::kRefused;
  const off_t begin = ::lseek(fd, 0, SEEK_CUR);
  off_t at = begin + static_cast<off_t>(sizeof(Header));
  Xxh64 sum;
  sum.add_value(header);
  const auto write = [&](std::span<const std::byte> bytes) {
    sum.add(bytes);
    const bool ok = write_all(fd, bytes, at);
    at += static_cast<off_t>(bytes.size());
    return ok;
  };
  if (begin < 0 || !write(std::as_bytes(content.tokens))) return DiskStatus::kFailed;
  const auto copied = copy_pieces(content, [&](const plan::Contents& part, uint64_t offset, auto piece) {
    if (!part.read(offset, piece)) return failed_there();
    return write(std::as_bytes(piece)) ? DiskStatus::kOk : DiskStatus::kFailed;
  });
  if (copied != DiskStatus::kOk) return copied;
  header.checksum = sum.sum();
  const bool ok =
      write_all(fd, std::as_bytes(std::span(&header, 1)), begin) && ::lseek(fd, at, SEEK_SET) == at;
  return ok ? DiskStatus::kOk : DiskStatus::kFailed;
}

DiskStatus write_disk_file(int folder, const DiskName& name, const DiskLayout& layout,
                           const DiskContent& content, const std::string& passing_name) {
  Fd fd(::openat(folder, passing_name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                 kUserOnly));
  if (fd.get() < 0) return DiskStatus::kFailed;
  DiskStatus status = write_disk_record(fd.get(), name, layout, content);
  if (status == DiskStatus::kOk &&
      (!fd.close() || ::renameat(folder, passing_name.c_str(), folder, name.text().c_str()) != 0))
    status = DiskStatus::kFailed;
  if (status == DiskStatus::kOk) return status;
  const int cause = errno;
  ::unlinkat(folder, passing_name.c_str(), 0);
  errno = cause;
  return status;
}

DiskStatus read_disk_record(int fd, uint64_t at, const DiskName& name, const DiskLayout& layout,
                            const DiskContent& content) {
  const Header expected = header_of(name, layout, content.scope, content.tokens.size());
  if (content.page.size != expected.page_bytes || content.state.size != expected.state_bytes)
    return DiskStatus::kRefused;
  Header header;
  if (!read_all(fd, std::as_writable_bytes(std::span(&header, 1)), at)) return DiskStatus::kFailed;
  const uint64_t checksum = std::exchange(header.checksum, 0);
  if (!same(header, expected)) return DiskStatus::kRefused;
  Xxh64 sum;
  sum.add_value(header);
  at += sizeof(Header);
  std::vector<TokenId> tokens(content.tokens.size());
  if (!read_all(fd, std::as_writable_bytes(std::span(tokens)), at, &sum)) return DiskStatus::kFailed;
  at += tokens.size() * sizeof(TokenId);
  const auto copied = copy_pieces(content, [&](const plan::Contents& part, uint64_t offset, auto piece) {
    if (!read_all(fd, std::as_writable_bytes(piece), at, &sum)) return DiskStatus::kFailed;
    at += piece.size();
    return part.write(offset, piece) ? DiskStatus::kOk : failed_there();
  });
  if (copied != DiskStatus::kOk) return copied;
  const bool right =
      std::equal(tokens.begin(), tokens.end(), content.tokens.begin()) && sum.sum() == checksum;
  return right ? DiskStatus::kOk : DiskStatus::kRefused;
}

DiskStatus read_disk_file(int folder, const DiskName& name, const DiskLayout& layout,
                          const DiskContent& content) {
  int raw = -1;
  uint64_t size = 0;
  const DiskStatus opened = open_own_file(folder, name.text(), raw, size);
  const Fd fd(raw);
  if (opened != DiskStatus::kOk) return opened;
  if (size != file_bytes(header_of(name, layout, content.scope, content.tokens.size())))
    return DiskStatus::kRefused;
  const DiskStatus status = read_disk_record(raw, 0, name, layout, content);
  ::posix_fadvise(raw, 0, 0, POSIX_FADV_DONTNEED);  // it is in our memory now: once is enough
  return status;
}

std::optional<DiskHead> read_disk_head(int fd, uint64_t at, uint64_t size, const DiskLayout& layout) {
  Header h;
  if (at > size || size - at < sizeof(Header)) return std::nullopt;
  if (!read_all(fd, std::as_writable_bytes(std::span(&h, 1)), at)) return std::nullopt;
  if (h.n_tokens < 1 || h.n_tokens > (size - at) / sizeof(TokenId)) return std::nullopt;
  DiskHead head;
  head.name.is_state = h.is_state != 0;
  head.name.n_tokens = static_cast<int32_t>((h.n_tokens - 1) % plan::kPageTokens) + 1;
  head.scope = h.scope;
  head.n_tokens = static_cast<int64_t>(h.n_tokens);
  const Header expected = header_of(head.name, layout, h.scope, h.n_tokens);
  head.bytes = file_bytes(expected);
  h.checksum = 0;
  if (!same(h, expected) || head.bytes > size - at) return std::nullopt;
  return head;
}

std::optional<std::vector<TokenId>> read_record_tokens(int fd, uint64_t at, const DiskHead& head) {
  std::vector<TokenId> tokens(head.n_tokens);  // no more than the file has
  if (!read_all(fd, std::as_writable_bytes(std::span(tokens)), at + sizeof(Header))) return std::nullopt;
  return tokens;
}

std::optional<std::vector<TokenId>> read_disk_tokens(int folder, const DiskName& name,
                                                     const DiskLayout& layout, int64_t n_total) {
  int raw = -1;
  uint64_t size = 0;
  const DiskStatus opened = open_own_file(folder, name.text(), raw, size);
  const Fd fd(raw);
  const Header expected = header_of(name, layout, 0, n_total);
  if (opened != DiskStatus::kOk || size != file_bytes(expected)) return std::nullopt;
  std::vector<TokenId> tokens(name.n_tokens);
  const uint64_t at = sizeof(Header) + (n_total - name.n_tokens) * sizeof(TokenId);
  if (!read_all(raw, std::as_writable_bytes(std::span(tokens)), at)) return std::nullopt;
  return tokens;
}

}  // namespace moraine::cache
