// The ordered keys and values of a GGUF file, with getters that check types and say what is wrong.
// Architectures, tokenizers and templates read their configuration through it; a test or the
// writer fills one by add(). Where the values come from: reader.h.
#pragma once

#include <moraine/error.h>

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/value.h"

namespace moraine::gguf {

struct MetadataEntry {
  static constexpr uint64_t kNotFromFile = UINT64_MAX;
  std::string key;
  Value value;
  uint64_t offset = kNotFromFile;  // of the entry in its file, for messages
};

// What get<T> and find<T> understand. Integers take any integer type of the file whose value fits;
// float and double take f32 and f64 and must be finite; bool and strings take only their own.
template <class T>
concept MetadataScalar = std::same_as<T, uint32_t> || std::same_as<T, int32_t> || std::same_as<T, uint64_t> ||
                         std::same_as<T, int64_t> || std::same_as<T, float> || std::same_as<T, double> ||
                         std::same_as<T, bool> || std::same_as<T, std::string_view>;

class Metadata {
 public:
  // `source` names the file in messages.
  explicit Metadata(std::string source = "metadata") : source_(std::move(source)) {}

  // Keeps the order. Throws kInvalidArgument where the key is there already.
  void add(std::string key, Value value, uint64_t offset = MetadataEntry::kNotFromFile);

  std::span<const MetadataEntry> entries() const noexcept { return entries_; }
  const std::string& source() const noexcept { return source_; }
  bool contains(std::string_view key) const noexcept { return find_entry(key) != nullptr; }
  const Value* find(std::string_view key) const noexcept;  // nullptr where missing

  // find<T>: nothing where the key is missing. get<T>: kCorruptFile where it is missing, or the
  // fallback given. Both throw kCorruptFile where the value is there but of another type or out of
  // range. Views stay valid as long as this object lives unchanged.
  template <MetadataScalar T>
  std::optional<T> find(std::string_view key) const;
  template <MetadataScalar T>
  T get(std::string_view key) const {
    if (std::optional<T> v = find<T>(key)) return *v;
    throw_missing(key);
  }
  template <MetadataScalar T>
  T get(std::string_view key, T fallback) const {
    return find<T>(key).value_or(fallback);
  }

  uint32_t get_u32(std::string_view key) const { return get<uint32_t>(key); }
  uint32_t get_u32(std::string_view key, uint32_t fallback) const { return get<uint32_t>(key, fallback); }
  int32_t get_i32(std::string_view key) const { return get<int32_t>(key); }
  int32_t get_i32(std::string_view key, int32_t fallback) const { return get<int32_t>(key, fallback); }
  uint64_t get_u64(std::string_view key) const { return get<uint64_t>(key); }
  uint64_t get_u64(std::string_view key, uint64_t fallback) const { return get<uint64_t>(key, fallback); }
  float get_f32(std::string_view key) const { return get<float>(key); }
  float get_f32(std::string_view key, float fallback) const { return get<float>(key, fallback); }
  bool get_bool(std::string_view key) const { return get<bool>(key); }
  bool get_bool(std::string_view key, bool fallback) const { return get<bool>(key, fallback); }
  std::string_view get_string(std::string_view key) const { return get<std::string_view>(key); }
  std::string_view get_string(std::string_view key, std::string_view fallback) const {
    return get<std::string_view>(key, fallback);
  }

  // Strings without a copy. get_strings throws where the key is missing, find_strings gives nullptr.
  const StringArray& get_strings(std::string_view key) const;
  const StringArray* find_strings(std::string_view key) const;

  // Numbers converted and checked like scalars, except that floats need not be finite (scores of
  // -inf exist). T: uint32_t, int32_t, uint64_t, int64_t, float, bool.
  template <class T>
  std::vector<T> get_numbers(std::string_view key) const {
    if (std::optional<std::vector<T>> v = find_numbers<T>(key)) return std::move(*v);
    throw_missing(key);
  }
  template <class T>
  std::optional<std::vector<T>> find_numbers(std::string_view key) const;

  // Numbers without a copy where the file holds exactly this element type (float, int32_t, ...);
  // kCorruptFile otherwise.
  template <class T>
  std::span<const T> get_span(std::string_view key) const {
    const MetadataEntry* e = find_entry(key);
    if (e == nullptr) throw_missing(key);
    const Array* a = e->value.as<Array>();
    const std::vector<T>* v = a == nullptr ? nullptr : a->as<std::vector<T>>();
    if (v == nullptr) throw_wrong_type(*e, type_name(Value(std::vector<T>{})));
    return *v;
  }

  // A value for each layer: a scalar in the file counts for all n, an array must have n elements.
  std::vector<uint32_t> get_u32_each(std::string_view key, size_t n) const;

  // For the checks of others: an error that names the key, its offset in the file and the cause.
  // `cause` continues the sentence: throw_bad("x.block_count", "is 0, but must be at least 1").
  [[noreturn]] void throw_bad(std::string_view key, std::string_view cause) const;

 private:
  const MetadataEntry* find_entry(std::string_view key) const noexcept;
  [[noreturn]] void throw_missing(std::string_view key) const;
  [[noreturn]] void throw_wrong_type(const MetadataEntry& entry, std::string_view expected) const;
  template <class T>
  T convert(const MetadataEntry& entry, const Value& value) const;

  std::string source_;
  std::vector<MetadataEntry> entries_;
  // Ordered, not hashed: a hostile file cannot make lookups slow.
  std::map<std::string, size_t, std::less<>> index_;
};

}  // namespace moraine::gguf
