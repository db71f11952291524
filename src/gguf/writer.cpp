// Encodes the header, streams the tensors behind it. The grammar: parser.cpp.
#include "gguf/writer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <moraine/error.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <type_traits>
#include <utility>

#include "gguf/layout.h"
#include "gguf/limits.h"

namespace moraine::gguf {
namespace {

constexpr uint32_t kVersion = 3;
constexpr mode_t kFileMode = 0644;

[[noreturn]] void fail(const std::string& message) { throw Error(ErrorCode::kInvalidArgument, message); }

// Appends the format's encoding of numbers, strings and values.
class Encoder {
 public:
  std::string take() { return std::move(bytes_); }

  void raw(std::span<const std::byte> bytes) {
    bytes_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  template <class T>
    requires(std::is_arithmetic_v<T>)
  void number(T v) {
    raw(std::as_bytes(std::span(&v, 1)));
  }
  void string(std::string_view text) {
    number<uint64_t>(text.size());
    raw(std::as_bytes(std::span(text)));
  }
  void pad(uint64_t alignment) { bytes_.resize(align_up(bytes_.size(), alignment)); }

  void value(const Value& v) {
    number(static_cast<uint32_t>(v.type()));
    std::visit([this](const auto& stored) { element(stored); }, v.storage());
  }

 private:
  template <class T>
    requires(std::is_arithmetic_v<T>)
  void element(T v) {
    number(v);
  }
  void element(bool v) { number<uint8_t>(v ? 1 : 0); }
  void element(std::string_view v) { string(v); }
  void element(const std::string& v) { string(v); }
  void element(const Array& v) {
    number(static_cast<uint32_t>(v.element_type()));
    number<uint64_t>(v.size());
    std::visit([this](const auto& elements) { array(elements); }, v.storage());
  }
  template <class T>
    requires(std::is_arithmetic_v<T>)
  void array(const std::vector<T>& numbers) {
    raw(std::as_bytes(std::span(numbers)));
  }
  void array(const std::vector<bool>& bools) {
    for (const bool b : bools) element(b);
  }
  void array(const StringArray& strings) {
    for (const std::string_view s : strings) string(s);
  }
  void array(const std::vector<Array>& arrays) {
    for (const Array& a : arrays) element(a);
  }

  std::string bytes_;
};

void check_array(const MetadataEntry& entry, const Array& array, uint32_t depth) {
  if (depth > kMaxArrayDepth)
    fail(fmt::format("The metadata key '{}' nests arrays deeper than the limit of {}.",
                     escape_text(entry.key), kMaxArrayDepth));
  if (const auto* inner = array.as<std::vector<Array>>())
    for (const Array& a : *inner) check_array(entry, a, depth + 1);
}

uint64_t checked_alignment(const Metadata& metadata) {
  if (metadata.entries().size() > kMaxMetadataEntries)
    fail(fmt::format("{} metadata entries are more than the limit of {}.", metadata.entries().size(),
                     kMaxMetadataEntries));
  for (const MetadataEntry& e : metadata.entries()) {
    if (e.key.empty() || e.key.size() > kMaxKeyBytes)
      fail(fmt::format("The metadata key '{}' has {} bytes; 1 to {} are allowed.", escape_text(e.key),
                       e.key.size(), kMaxKeyBytes));
    if (const auto* text = e.value.as<std::string>(); text != nullptr && text->size() > kMaxStringBytes)
      fail(fmt::format("The value of '{}' has {} bytes, more than the limit of {}.", escape_text(e.key),
                       text->size(), kMaxStringBytes));
    if (const auto* array = e.value.as<Array>()) check_array(e, *array, 1);
  }
  const auto alignment = metadata.get_u64("general.alignment", kDefaultAlignment);
  if (!std::has_single_bit(alignment) || alignment < kMinAlignment || alignment > kMaxAlignment)
    fail(fmt::format("general.alignment is {}, but must be a power of two from {} to {}.", alignment,
                     kMinAlignment, kMaxAlignment));
  return alignment;
}

// A file that is written in full or not at all.
class NewFile {
 public:
  explicit NewFile(const std::filesystem::path& path) : path_(path), partial_(path.native() + ".partial") {
    fd_ = ::open(partial_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, kFileMode);
    if (fd_ < 0) fail_io("cannot be created");
  }
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;
  ~NewFile() {
    if (fd_ >= 0) ::close(fd_);
    if (!done_) ::unlink(partial_.c_str());
  }
  void append(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::write(fd_, bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) fail_io("cannot be written");
      bytes = bytes.subspan(static_cast<size_t>(n));
    }
  }
  void finish() {
    if (::close(std::exchange(fd_, -1)) != 0) fail_io("cannot be written");
    if (::rename(partial_.c_str(), path_.c_str()) != 0) fail_io("cannot be renamed to its final name");
    done_ = true;
  }

 private:
  [[noreturn]] void fail_io(const char* what) const {
    const int e = errno;
    throw Error(ErrorCode::kIo,
                fmt::format("{} {}: {}.", escape_text(partial_.native(), 4096), what, std::strerror(e)));
  }
  std::filesystem::path path_, partial_;
  int fd_ = -1;
  bool done_ = false;
};

}  // namespace

Writer::Writer(Metadata metadata)
    : metadata_(std::move(metadata)), alignment_(checked_alignment(metadata_)) {}

void Writer::add_tensor(std::string name, DType dtype, std::span<const uint64_t> shape,
                        std::span<const std::byte> bytes) {
  std::string fault;
  const std::optional<uint64_t> size = tensor_size(dtype, shape, fault);
  if (size && *size != bytes.size())
    fail(fmt::format("The tensor '{}' needs {} bytes by its shape and type, but {} were given.",
                     escape_text(name), *size, bytes.size()));
  add_tensor(std::move(name), dtype, shape, [bytes](uint64_t offset, std::span<std::byte> out) {
    std::memcpy(out.data(), bytes.data() + offset, out.size());
  });
}

void Writer::add_tensor(std::string name, DType dtype, std::span<const uint64_t> shape, Fill fill) {
  if (name.empty() || name.size() > kMaxTensorNameBytes)
    fail(fmt::format("The tensor name '{}' has {} bytes; 1 to {} are allowed.", escape_text(name),
                     name.size(), kMaxTensorNameBytes));
  std::string fault;
  const std::optional<uint64_t> size = tensor_size(dtype, shape, fault);
  if (!size) fail(fmt::format("The shape of the tensor '{}' {}.", escape_text(name), fault));
  if (*size > UINT64_MAX / 2 - data_bytes_ - kMaxAlignment)
    fail(fmt::format("With the tensor '{}' the file becomes larger than any can be.", escape_text(name)));
  if (tensors_.size() == kMaxTensors) fail(fmt::format("More than {} tensors were given.", kMaxTensors));
  if (!tensor_index_.emplace(name, tensors_.size()).second)
    fail(fmt::format("The tensor '{}' is given twice.", escape_text(name)));
  tensors_.push_back(
      {std::move(name), dtype, {shape.begin(), shape.end()}, *size, data_bytes_, std::move(fill)});
  data_bytes_ = align_up(data_bytes_ + *size, alignment_);
}

std::string Writer::header() const {
  Encoder out;
  out.raw(std::as_bytes(std::span("GGUF", 4)));
  out.number(kVersion);
  out.number<uint64_t>(tensors_.size());
  out.number<uint64_t>(metadata_.entries().size());
  for (const MetadataEntry& e : metadata_.entries()) {
    out.string(e.key);
    out.value(e.value);
  }
  for (const Tensor& t : tensors_) {
    out.string(t.name);
    out.number(static_cast<uint32_t>(t.shape.size()));
    for (const uint64_t n : t.shape) out.number(n);
    out.number(static_cast<uint32_t>(t.dtype));
    out.number(t.offset);
  }
  out.pad(alignment_);
  return out.take();
}

void Writer::write_to(const Sink& sink) const {
  const std::string head = header();
  sink(std::as_bytes(std::span(head)));
  std::vector<std::byte> buffer;
  for (const Tensor& t : tensors_) {
    for (uint64_t done = 0; done < t.size_bytes; done += buffer.size()) {
      buffer.resize(std::min<uint64_t>(kFillBytes, t.size_bytes - done));
      t.fill(done, buffer);
      sink(buffer);
    }
    sink(std::vector<std::byte>(align_up(t.size_bytes, alignment_) - t.size_bytes));
  }
}

void Writer::write(const std::filesystem::path& path) const {
  NewFile file(path);
  write_to([&](std::span<const std::byte> bytes) { file.append(bytes); });
  file.finish();
}

std::vector<std::byte> Writer::to_bytes() const {
  std::vector<std::byte> all;
  write_to([&](std::span<const std::byte> bytes) { all.insert(all.end(), bytes.begin(), bytes.end()); });
  return all;
}

}  // namespace moraine::gguf
