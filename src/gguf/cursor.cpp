// Buffered reading with bounds; the wording of "truncated" and "not a valid GGUF file".
#include "gguf/cursor.h"

#include <fmt/format.h>
#include <moraine/error.h>

#include <algorithm>
#include <bit>
#include <cstring>

namespace moraine::gguf {
namespace {

static_assert(std::endian::native == std::endian::little, "GGUF is read as the host's own byte order");

constexpr uint64_t kBufferBytes = 256u << 10;

}  // namespace

Cursor::Cursor(const ByteSource& source, const std::string& name)
    : source_(source), name_(name), size_(source.size_bytes()) {}

std::string Cursor::described(std::string_view field) const {
  return context_.empty() ? std::string(field) : fmt::format("{} of {}", field, context_);
}

void Cursor::fail(std::string_view field, uint64_t offset, std::string_view cause) const {
  throw moraine::Error(ErrorCode::kCorruptFile,
                       fmt::format("{} is not a valid GGUF file: the {}, at byte {}, {}.", name_,
                                   described(field), offset, cause));
}

void Cursor::fail_truncated(std::string_view field, uint64_t needed) const {
  throw moraine::Error(
      ErrorCode::kCorruptFile,
      fmt::format(
          "{} is truncated: the {} begins at byte {} and needs {} bytes, but the file ends at byte {}. "
          "Download or copy it again.",
          name_, described(field), offset_, needed, size_));
}

void Cursor::read_bytes(std::span<std::byte> out, std::string_view field) {
  if (out.size() > remaining()) fail_truncated(field, out.size());
  while (!out.empty()) {
    const uint64_t at = offset_ - buffer_begin_;
    if (at < buffer_.size()) {
      const size_t n = std::min<uint64_t>(out.size(), buffer_.size() - at);
      std::memcpy(out.data(), buffer_.data() + at, n);
      offset_ += n;
      out = out.subspan(n);
    } else if (out.size() >= kBufferBytes) {  // long arrays go straight to their place
      source_.read_at(offset_, out);
      offset_ += out.size();
      return;
    } else {
      buffer_.resize(std::min(kBufferBytes, remaining()));
      buffer_begin_ = offset_;
      source_.read_at(offset_, buffer_);
    }
  }
}

std::string Cursor::read_string(std::string_view field, uint64_t max_bytes) {
  const uint64_t at = offset_;
  const auto length = read<uint64_t>(field);
  if (length > max_bytes)
    fail(fmt::format("length of the {}", field), at,
         fmt::format("is {} bytes, more than the limit of {}", length, max_bytes));
  if (length > remaining()) fail_truncated(field, length);
  std::string text(length, '\0');
  read_bytes(std::as_writable_bytes(std::span(text)), field);
  return text;
}

uint64_t Cursor::read_count(std::string_view field, uint64_t min_item_bytes, uint64_t max) {
  const uint64_t at = offset_;
  const auto count = read<uint64_t>(field);
  if (count > max) fail(field, at, fmt::format("is {}, more than the limit of {}", count, max));
  if (count > remaining() / min_item_bytes)
    fail(field, at,
         fmt::format("is {}, but the {} bytes that remain hold at most {}: the file is truncated or damaged",
                     count, remaining(), remaining() / min_item_bytes));
  return count;
}

}  // namespace moraine::gguf
