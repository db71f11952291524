// Metadata values of a GGUF file: the thirteen types of the format, arrays included, and their
// short printable form. Owns no file knowledge: parser.cpp reads values, writer.cpp writes them,
// metadata.h looks them up by key.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace moraine::gguf {

// The numbers are the format's own; the alternatives of Value and Array stand in the same order.
enum class ValueType : uint32_t {
  kU8 = 0,
  kI8 = 1,
  kU16 = 2,
  kI16 = 3,
  kU32 = 4,
  kI32 = 5,
  kF32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kU64 = 10,
  kI64 = 11,
  kF64 = 12,
};
inline constexpr uint32_t kValueTypeCount = 13;

const char* to_string(ValueType type) noexcept;  // "u8" .. "f64", "bool", "string", "array"

// Many strings in one allocation: a vocabulary has a quarter million short ones.
class StringArray {
 public:
  using value_type = std::string_view;

  StringArray() = default;
  StringArray(std::initializer_list<std::string_view> strings) {
    for (std::string_view s : strings) push_back(s);
  }

  size_t size() const noexcept { return ends_.size(); }
  bool empty() const noexcept { return ends_.empty(); }
  // Bytes as they stand in the file: not necessarily UTF-8. Valid as long as the array is unchanged.
  std::string_view operator[](size_t i) const noexcept {
    const size_t begin = i == 0 ? 0 : ends_[i - 1];
    return std::string_view(bytes_).substr(begin, ends_[i] - begin);
  }
  void reserve(size_t n) { ends_.reserve(n); }
  void push_back(std::string_view s) {
    bytes_.append(s);
    ends_.push_back(bytes_.size());
  }
  bool operator==(const StringArray&) const = default;

  class Iterator {
   public:
    using iterator_category = std::forward_iterator_tag;
    using value_type = std::string_view;
    using difference_type = std::ptrdiff_t;
    Iterator() = default;
    Iterator(const StringArray* array, size_t i) : array_(array), i_(i) {}
    std::string_view operator*() const noexcept { return (*array_)[i_]; }
    Iterator& operator++() noexcept {
      ++i_;
      return *this;
    }
    Iterator operator++(int) noexcept { return Iterator(array_, i_++); }
    bool operator==(const Iterator&) const = default;

   private:
    const StringArray* array_ = nullptr;
    size_t i_ = 0;
  };
  Iterator begin() const noexcept { return {this, 0}; }
  Iterator end() const noexcept { return {this, size()}; }

 private:
  std::string bytes_;
  std::vector<uint64_t> ends_;
};

// An array has one element type; an empty one still has it. Arrays of arrays exist in the format
// (the inner ones may differ in type and length), though no known model uses them.
class Array {
 public:
  using Storage = std::variant<std::vector<uint8_t>, std::vector<int8_t>, std::vector<uint16_t>,
                               std::vector<int16_t>, std::vector<uint32_t>, std::vector<int32_t>,
                               std::vector<float>, std::vector<bool>, StringArray, std::vector<Array>,
                               std::vector<uint64_t>, std::vector<int64_t>, std::vector<double>>;
  Array() = default;
  template <class T>
    requires(!std::same_as<std::remove_cvref_t<T>, Array> && std::constructible_from<Storage, T>)
  explicit Array(T&& elements) : storage_(std::forward<T>(elements)) {}

  ValueType element_type() const noexcept { return static_cast<ValueType>(storage_.index()); }
  size_t size() const noexcept {
    return std::visit([](const auto& v) { return v.size(); }, storage_);
  }
  const Storage& storage() const noexcept { return storage_; }
  // The elements where they are of exactly this C++ type, otherwise nullptr:
  // array.as<std::vector<float>>(), array.as<StringArray>().
  template <class V>
  const V* as() const noexcept {
    return std::get_if<V>(&storage_);
  }
  bool operator==(const Array&) const = default;

 private:
  Storage storage_;
};

class Value {
 public:
  using Storage = std::variant<uint8_t, int8_t, uint16_t, int16_t, uint32_t, int32_t, float, bool,
                               std::string, Array, uint64_t, int64_t, double>;
  Value() = default;
  // From exactly one of the types above: Value(uint32_t{3}), Value(1.0f), Value("text").
  template <class T>
    requires(std::is_arithmetic_v<T>)
  Value(T v) : storage_(std::in_place_type<T>, v) {}
  Value(std::string v) : storage_(std::move(v)) {}
  Value(std::string_view v) : storage_(std::string(v)) {}
  Value(const char* v) : storage_(std::string(v)) {}
  Value(Array v) : storage_(std::move(v)) {}
  Value(StringArray v) : storage_(Array(std::move(v))) {}
  template <class T>
  Value(std::vector<T> v) : storage_(Array(std::move(v))) {}

  ValueType type() const noexcept { return static_cast<ValueType>(storage_.index()); }
  const Storage& storage() const noexcept { return storage_; }
  // The value where it is of exactly this C++ type, otherwise nullptr: value.as<uint32_t>(),
  // value.as<std::string>(), value.as<Array>().
  template <class T>
  const T* as() const noexcept {
    return std::get_if<T>(&storage_);
  }
  bool operator==(const Value&) const = default;

 private:
  Storage storage_;
};

// "u32", "string", "array of i32".
std::string type_name(const Value& value);

// One line for a person: strings quoted and escaped, long ones and arrays shortened with their size:
// 4096, 1e-05, true, "ChatML", ["a", "b", ... 49152 in all].
std::string to_display_string(const Value& value, size_t max_items = 8);

// Text from a file made fit for a terminal or a log: control characters, invisible direction marks
// and bytes that are not UTF-8 become \n, \x1b, \u202e; beyond max_bytes of input "..." follows.
std::string escape_text(std::string_view text, size_t max_bytes = 120);

}  // namespace moraine::gguf
