// A forward-only, buffered walk over the header of a file that checks every read against the bytes
// that remain. Internal to the parser; every failure names the field, the byte offset and the cause.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "gguf/byte_source.h"

namespace moraine::gguf {

class Cursor {
 public:
  // `name` stands for the file in messages. Both are borrowed.
  Cursor(const ByteSource& source, const std::string& name);

  const std::string& name() const noexcept { return name_; }
  uint64_t offset() const noexcept { return offset_; }
  uint64_t size_bytes() const noexcept { return size_; }
  uint64_t remaining() const noexcept { return size_ - offset_; }

  // What the fields to come belong to, for messages: "metadata key 'general.name'"; may be empty.
  void set_context(std::string context) { context_ = std::move(context); }

  template <class T>
    requires(std::is_arithmetic_v<T>)
  T read(std::string_view field) {
    T v;
    read_bytes(std::as_writable_bytes(std::span(&v, 1)), field);
    return v;
  }
  void read_bytes(std::span<std::byte> out, std::string_view field);

  // The format's string: a 64-bit length, then the bytes. `max_bytes` is the limit of this field.
  std::string read_string(std::string_view field, uint64_t max_bytes);

  // A 64-bit count of things of at least `min_item_bytes` each, checked against `max` and against the
  // bytes that remain: what is safe to allocate for.
  uint64_t read_count(std::string_view field, uint64_t min_item_bytes, uint64_t max);

  // kCorruptFile: "NAME is not a valid GGUF file: FIELD of CONTEXT, at byte OFFSET, CAUSE."
  [[noreturn]] void fail(std::string_view field, uint64_t offset, std::string_view cause) const;

 private:
  [[noreturn]] void fail_truncated(std::string_view field, uint64_t needed) const;
  std::string described(std::string_view field) const;

  const ByteSource& source_;
  const std::string& name_;
  uint64_t size_;
  uint64_t offset_ = 0;
  std::string context_;
  std::vector<std::byte> buffer_;  // bytes [buffer_begin_, buffer_begin_ + buffer_.size()) of the source
  uint64_t buffer_begin_ = 0;
};

}  // namespace moraine::gguf
