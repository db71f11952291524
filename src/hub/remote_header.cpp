#include "hub/remote_header.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <moraine/error.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>

#include "gguf/parser.h"

namespace moraine::hub {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kBlockBytes = 2 << 20;
constexpr uint64_t kMaxHeaderBytes = 256 << 20;

// The file on the hub, read in blocks as the parser comes to them.
class RemoteSource final : public gguf::ByteSource {
 public:
  RemoteSource(const HubOptions& options, Connection& connection, const Repository& repo,
               const RemoteFile& file)
      : options_(options), connection_(connection), repo_(repo), file_(file) {}

  uint64_t size_bytes() const noexcept override { return file_.size_bytes; }

  void read_at(uint64_t offset, std::span<std::byte> out) const override {
    for (size_t done = 0; done < out.size();) {
      const uint64_t at = offset + done;
      const std::string& bytes = block(at / kBlockBytes);
      const size_t skip = at % kBlockBytes;
      if (skip >= bytes.size())
        throw Error(ErrorCode::kCorruptFile, fmt::format("{} ends within its header.", file_.path));
      const size_t n = std::min(out.size() - done, bytes.size() - skip);
      std::memcpy(out.data() + done, bytes.data() + skip, n);
      done += n;
    }
  }

  const std::map<uint64_t, std::string>& blocks() const { return blocks_; }

 private:
  const std::string& block(uint64_t i) const {
    const auto at = blocks_.find(i);
    if (at != blocks_.end()) return at->second;
    if ((blocks_.size() + 1) * kBlockBytes > kMaxHeaderBytes)
      throw Error(ErrorCode::kUnsupported,
                  fmt::format("The header of {} is larger than 256 MiB.", file_.path));
    const uint64_t end = std::min(file_.size_bytes, (i + 1) * kBlockBytes);
    return blocks_[i] = read_range(options_, connection_, repo_, file_, {i * kBlockBytes, end});
  }

  const HubOptions& options_;
  Connection& connection_;
  const Repository& repo_;
  const RemoteFile& file_;
  mutable std::map<uint64_t, std::string> blocks_;
};

[[noreturn]] void fail(const fs::path& path) {
  throw Error(ErrorCode::kIo, fmt::format("{} cannot be written: {}.", path.string(), std::strerror(errno)));
}

}  // namespace

RemoteHeader::RemoteHeader(const HubOptions& options, const Repository& repo, const Variant& variant,
                           const fs::path& parent) {
  std::string pattern = (parent / "moraine-header-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) fail(parent);
  folder_ = pattern;
  try {
    Connection connection(options.transfer);
    for (const RemoteFile& file : variant.files) add(options, connection, repo, file);
  } catch (...) {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
    throw;
  }
}

RemoteHeader::~RemoteHeader() {
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

void RemoteHeader::add(const HubOptions& options, Connection& connection, const Repository& repo,
                       const RemoteFile& file) {
  const RemoteSource source(options, connection, repo, file);
  gguf::parse_file(source, file.path);  // reads the blocks; what is no GGUF ends here
  const fs::path path = folder_ / fs::path(file.path).filename();
  if (path_.empty()) path_ = path;
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  bool good = fd >= 0 && ::ftruncate(fd, static_cast<off_t>(file.size_bytes)) == 0;
  for (const auto& [i, bytes] : source.blocks())
    good = good && ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(i * kBlockBytes)) ==
                       static_cast<ssize_t>(bytes.size());
  const int error = errno;
  if (fd >= 0) ::close(fd);
  errno = error;
  if (!good) fail(path);
}

}  // namespace moraine::hub
