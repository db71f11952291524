// The grammar, all little-endian:
//   file     = "GGUF" u32:version u64:n_tensors u64:n_entries entry* info* padding data
//   entry    = string:key u32:type value;  string = u64:length bytes;  array = u32:type u64:length element*
//   info     = string:name u32:n_dims u64:shape* u32:element_type u64:offset (from the start of data)
// Each count and length is checked against the bytes that remain before anything is allocated for it.
// Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
#include "gguf/parser.h"

#include <fmt/format.h>
#include <moraine/error.h>

#include <algorithm>
#include <bit>
#include <optional>
#include <set>
#include <span>
#include <string_view>
#include <utility>

#include "gguf/cursor.h"
#include "gguf/ggml_types.h"
#include "gguf/layout.h"
#include "gguf/limits.h"

namespace moraine::gguf {
namespace {

constexpr uint32_t kMagic = 0x46554747;         // "GGUF"
constexpr uint64_t kMinEntryBytes = 8 + 4 + 1;  // empty key, type, one byte of value
constexpr uint64_t kMinTensorInfoBytes = 8 + 4 + 4 + 8;

// Bytes of one element in the file, at the least: strings and arrays have a length in front.
constexpr uint64_t kMinElementBytes[kValueTypeCount] = {1, 1, 2, 2, 4, 4, 4, 1, 8, 12, 8, 8, 8};

class Parser {
 public:
  Parser(const ByteSource& source, const std::string& name)
      : source_(source), name_(name), in_(source, name) {}

  ParsedFile run() {
    ParsedFile file;
    file.version = read_version();
    const uint64_t n_tensors = in_.read_count("tensor count", kMinTensorInfoBytes, kMaxTensors);
    const uint64_t n_entries = in_.read_count("metadata count", kMinEntryBytes, kMaxMetadataEntries);
    file.metadata = Metadata(name_);
    for (uint64_t i = 0; i < n_entries; ++i) read_entry(i, n_entries, file.metadata);
    file.alignment = alignment(file.metadata);
    std::vector<uint64_t> info_offsets;
    for (uint64_t i = 0; i < n_tensors; ++i) {
      info_offsets.push_back(in_.offset());
      file.tensors.push_back(read_tensor_info(i, n_tensors, file.alignment));
    }
    in_.set_context("");
    file.data_offset = align_up(in_.offset(), file.alignment);
    place_tensors(file, info_offsets);
    return file;
  }

 private:
  [[noreturn]] void fail_unsupported(std::string_view cause) const {
    throw Error(ErrorCode::kUnsupported, fmt::format("{} {}.", name_, cause));
  }

  uint32_t read_version() {
    if (in_.remaining() < sizeof kMagic || in_.read<uint32_t>("magic number") != kMagic)
      throw_foreign_format(source_, name_);
    const auto version = in_.read<uint32_t>("version");
    if (version == 2 || version == 3) return version;
    if (version == 1)
      fail_unsupported(
          "is a GGUF file of version 1, a short-lived format of August 2023; versions 2 and 3 can be read. "
          "Download "
          "a newer conversion of the model");
    // A big-endian file carries its small version number in the upper bytes.
    if (version != 0 && (version & 0xFFFF) == 0)
      fail_unsupported(
          "is a big-endian GGUF file, made for another kind of processor. Download the little-endian one, or "
          "convert "
          "it with gguf-py's gguf_convert_endian.py");
    if (version == 0) in_.fail("version", 4, "is 0, but 2 or 3 was expected");
    fail_unsupported(
        fmt::format("is a GGUF file of version {} (at byte 4); versions 2 and 3 can be read. Update moraine, "
                    "or check the file "
                    "for damage",
                    version));
  }

  // Counts what a value takes in memory, so that a header of many small parts cannot grow without bound.
  void charge(uint64_t bytes, std::string_view field) {
    memory_used_ += bytes;  // cannot overflow: each part is bounded by the file or by kMaxStringBytes
    if (memory_used_ > kMaxMetadataBytes)
      in_.fail(field, in_.offset(),
               fmt::format("brings the metadata above the limit of {} bytes", kMaxMetadataBytes));
  }

  void read_entry(uint64_t i, uint64_t n, Metadata& metadata) {
    const uint64_t at = in_.offset();
    in_.set_context(fmt::format("metadata entry {} of {}", i + 1, n));
    std::string key = in_.read_string("key", kMaxKeyBytes);
    if (key.empty()) in_.fail("key", at, "is empty");
    charge(sizeof(MetadataEntry) + 2 * key.size(), "key");
    in_.set_context(fmt::format("metadata key '{}'", escape_text(key)));
    if (metadata.contains(key)) in_.fail("entry", at, "repeats a key that the file has already");
    const ValueType type = read_type("type");
    Value value = read_value(type);
    metadata.add(std::move(key), std::move(value), at);
  }

  ValueType read_type(std::string_view field) {
    const uint64_t at = in_.offset();
    const auto type = in_.read<uint32_t>(field);
    if (type >= kValueTypeCount)
      in_.fail(field, at,
               fmt::format("is {}, but the format's types are 0 to {}", type, kValueTypeCount - 1));
    return static_cast<ValueType>(type);
  }

  bool to_bool(uint8_t byte, uint64_t at) const {
    if (byte > 1)
      in_.fail("value", at, fmt::format("is a bool with the byte {}, but 0 or 1 was expected", byte));
    return byte != 0;
  }

  Value read_value(ValueType type) {
    constexpr std::string_view kField = "value";
    const uint64_t at = in_.offset();
    switch (type) {
      case ValueType::kU8:
        return in_.read<uint8_t>(kField);
      case ValueType::kI8:
        return in_.read<int8_t>(kField);
      case ValueType::kU16:
        return in_.read<uint16_t>(kField);
      case ValueType::kI16:
        return in_.read<int16_t>(kField);
      case ValueType::kU32:
        return in_.read<uint32_t>(kField);
      case ValueType::kI32:
        return in_.read<int32_t>(kField);
      case ValueType::kF32:
        return in_.read<float>(kField);
      case ValueType::kBool:
        return to_bool(in_.read<uint8_t>(kField), at);
      case ValueType::kString: {
        std::string text = in_.read_string(kField, kMaxStringBytes);
        charge(text.size(), kField);
        return text;
      }
      case ValueType::kArray:
        return read_array(1);
      case ValueType::kU64:
        return in_.read<uint64_t>(kField);
      case ValueType::kI64:
        return in_.read<int64_t>(kField);
      case ValueType::kF64:
        return in_.read<double>(kField);
    }
    in_.fail(kField, at, "has an unknown type");
  }

  Array read_array(uint32_t depth) {
    const uint64_t at = in_.offset();
    if (depth > kMaxArrayDepth)
      in_.fail("value", at, fmt::format("nests arrays deeper than the limit of {}", kMaxArrayDepth));
    const ValueType type = read_type("array element type");
    const uint64_t min_bytes = kMinElementBytes[static_cast<size_t>(type)];
    const uint64_t count = in_.read_count("array length", min_bytes, kMaxMetadataBytes);
    charge(count * (type == ValueType::kArray ? sizeof(Array) : min_bytes), "array");
    switch (type) {
      case ValueType::kU8:
        return read_numbers<uint8_t>(count);
      case ValueType::kI8:
        return read_numbers<int8_t>(count);
      case ValueType::kU16:
        return read_numbers<uint16_t>(count);
      case ValueType::kI16:
        return read_numbers<int16_t>(count);
      case ValueType::kU32:
        return read_numbers<uint32_t>(count);
      case ValueType::kI32:
        return read_numbers<int32_t>(count);
      case ValueType::kF32:
        return read_numbers<float>(count);
      case ValueType::kU64:
        return read_numbers<uint64_t>(count);
      case ValueType::kI64:
        return read_numbers<int64_t>(count);
      case ValueType::kF64:
        return read_numbers<double>(count);
      case ValueType::kBool: {
        std::vector<bool> bools(count);
        for (uint64_t i = 0; i < count; ++i) {
          const uint64_t byte_at = in_.offset();
          bools[i] = to_bool(in_.read<uint8_t>("array"), byte_at);
        }
        return Array(std::move(bools));
      }
      case ValueType::kString:
        return read_strings(count);
      case ValueType::kArray: {
        std::vector<Array> arrays;
        for (uint64_t i = 0; i < count; ++i) arrays.push_back(read_array(depth + 1));
        return Array(std::move(arrays));
      }
    }
    in_.fail("array element type", at, "is unknown");
  }

  template <class T>
  Array read_numbers(uint64_t count) {
    std::vector<T> numbers(count);
    in_.read_bytes(std::as_writable_bytes(std::span(numbers)), "array");
    return Array(std::move(numbers));
  }

  Array read_strings(uint64_t count) {
    StringArray strings;
    strings.reserve(count);
    for (uint64_t i = 0; i < count; ++i) {
      const std::string text = in_.read_string("array element", kMaxStringBytes);
      charge(text.size(), "array element");
      strings.push_back(text);
    }
    return Array(std::move(strings));
  }

  uint64_t alignment(const Metadata& metadata) const {
    const auto value = metadata.get_u64("general.alignment", kDefaultAlignment);
    if (!std::has_single_bit(value) || value < kMinAlignment || value > kMaxAlignment)
      metadata.throw_bad("general.alignment", fmt::format("is {}, but must be a power of two from {} to {}",
                                                          value, kMinAlignment, kMaxAlignment));
    return value;
  }

  // `offset` of the result is still relative to the data section.
  TensorInfo read_tensor_info(uint64_t i, uint64_t n, uint64_t alignment) {
    TensorInfo t;
    const uint64_t at = in_.offset();
    in_.set_context(fmt::format("tensor {} of {}", i + 1, n));
    t.name = in_.read_string("name", kMaxTensorNameBytes);
    if (t.name.empty()) in_.fail("name", at, "is empty");
    in_.set_context(fmt::format("tensor '{}'", escape_text(t.name)));
    if (!names_.insert(t.name).second) in_.fail("name", at, "repeats a tensor that the file has already");

    const uint64_t dims_at = in_.offset();
    t.n_dims = in_.read<uint32_t>("number of dimensions");
    if (t.n_dims > kMaxDims)
      in_.fail("number of dimensions", dims_at,
               fmt::format("is {}, more than the limit of {}", t.n_dims, kMaxDims));
    for (uint32_t d = 0; d < t.n_dims; ++d) t.shape[d] = in_.read<uint64_t>("shape");
    read_dtype(t);
    std::string fault;
    const std::optional<uint64_t> size = tensor_size(t.dtype, std::span(t.shape).first(t.n_dims), fault);
    if (!size) in_.fail("shape", dims_at + sizeof t.n_dims, fault);
    t.size_bytes = *size;

    const uint64_t offset_at = in_.offset();
    t.offset = in_.read<uint64_t>("data offset");
    if (t.offset % alignment != 0)
      in_.fail("data offset", offset_at,
               fmt::format("is {}, not a multiple of the alignment {}", t.offset, alignment));
    return t;
  }

  void read_dtype(TensorInfo& t) {
    const uint64_t at = in_.offset();
    const auto id = in_.read<uint32_t>("element type");
    if (const DTypeInfo* known = find_dtype(id)) {
      t.dtype = known->dtype;
      return;
    }
    fail_unsupported(
        fmt::format("has the tensor '{}' in the element type {} (id {}, at byte {}), which this build "
                    "does not read. Choose another quantisation of the model, Q4_K_M for one",
                    escape_text(t.name), foreign_type_name(id), id, at));
  }

  // Makes the offsets absolute; checks that each tensor lies inside the file and that none overlap.
  void place_tensors(ParsedFile& file, const std::vector<uint64_t>& info_offsets) const {
    const auto saturating_add = [](uint64_t a, uint64_t b) {
      return a > UINT64_MAX - b ? UINT64_MAX : a + b;
    };
    uint64_t needed = 0;  // by all tensors; for the message
    for (TensorInfo& t : file.tensors) {
      t.offset = saturating_add(t.offset, file.data_offset);
      needed = std::max(needed, saturating_add(t.offset, t.size_bytes));
    }
    const uint64_t size = in_.size_bytes();
    std::vector<size_t> order;
    for (size_t i = 0; i < file.tensors.size(); ++i) {
      const TensorInfo& t = file.tensors[i];
      if (t.offset > size || t.size_bytes > size - t.offset)
        throw Error(
            ErrorCode::kCorruptFile,
            fmt::format("{} is truncated or damaged: the tensor '{}' (described at byte {}) has {} bytes of "
                        "data at byte {}, and all tensors need {} bytes, but the file has {}. Download or "
                        "copy it again.",
                        name_, escape_text(t.name), info_offsets[i], t.size_bytes, t.offset, needed, size));
      order.push_back(i);
    }
    std::sort(order.begin(), order.end(),
              [&](size_t a, size_t b) { return file.tensors[a].offset < file.tensors[b].offset; });
    for (size_t k = 1; k < order.size(); ++k) {
      const TensorInfo& a = file.tensors[order[k - 1]];
      const TensorInfo& b = file.tensors[order[k]];
      if (b.offset < a.offset + a.size_bytes)
        throw Error(
            ErrorCode::kCorruptFile,
            fmt::format("{} is not a valid GGUF file: the data of the tensors '{}' (bytes {} to {}) and '{}' "
                        "(bytes {} to {}, described at byte {}) overlap.",
                        name_, escape_text(a.name), a.offset, a.offset + a.size_bytes, escape_text(b.name),
                        b.offset, b.offset + b.size_bytes, info_offsets[order[k]]));
    }
  }

  const ByteSource& source_;
  const std::string& name_;
  Cursor in_;
  uint64_t memory_used_ = 0;
  std::set<std::string, std::less<>> names_;
};

}  // namespace

ParsedFile parse_file(const ByteSource& source, const std::string& name) {
  return Parser(source, name).run();
}

}  // namespace moraine::gguf
