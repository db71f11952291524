// Conversions between the stored types and those asked for, and the wording of their errors.
#include "gguf/metadata.h"

#include <fmt/format.h>

#include <cmath>
#include <type_traits>
#include <utility>

namespace moraine::gguf {
namespace {

template <class T>
constexpr bool kIsInteger = std::is_integral_v<T> && !std::is_same_v<T, bool>;

template <class T>
const char* expected_name() {
  if constexpr (std::is_same_v<T, bool>)
    return "bool";
  else if constexpr (std::is_same_v<T, std::string_view>)
    return "string";
  else if constexpr (std::is_floating_point_v<T>)
    return "f32 or f64";
  else if constexpr (std::is_unsigned_v<T>)
    return sizeof(T) == 4 ? "an unsigned integer (u32)" : "an unsigned integer (u64)";
  else
    return sizeof(T) == 4 ? "an integer (i32)" : "an integer (i64)";
}

template <class T>
const char* target_name() {
  if constexpr (std::is_same_v<T, uint32_t>)
    return "u32";
  else if constexpr (std::is_same_v<T, int32_t>)
    return "i32";
  else if constexpr (std::is_same_v<T, uint64_t>)
    return "u64";
  else if constexpr (std::is_same_v<T, int64_t>)
    return "i64";
  else
    return "f32";
}

// What became of a conversion from a stored number to T.
enum class Outcome { kOk, kWrongType, kOutOfRange };

template <class T, class S>
Outcome convert_number(S from, T& to) {
  if constexpr (std::is_same_v<T, bool> || std::is_same_v<S, bool>) {
    if constexpr (!std::is_same_v<T, S>)
      return Outcome::kWrongType;
    else
      to = from;
  } else if constexpr (kIsInteger<T> && kIsInteger<S>) {
    if (!std::in_range<T>(from)) return Outcome::kOutOfRange;
    to = static_cast<T>(from);
  } else if constexpr (std::is_floating_point_v<T> && std::is_floating_point_v<S>) {
    to = static_cast<T>(from);
    if (std::isfinite(from) && !std::isfinite(to)) return Outcome::kOutOfRange;
  } else {
    return Outcome::kWrongType;
  }
  return Outcome::kOk;
}

std::string place(const MetadataEntry& entry) {
  if (entry.offset == MetadataEntry::kNotFromFile) return "";
  return fmt::format(" (at byte {})", entry.offset);
}

}  // namespace

void Metadata::add(std::string key, Value value, uint64_t offset) {
  if (!index_.emplace(key, entries_.size()).second)
    throw Error(ErrorCode::kInvalidArgument,
                fmt::format("{}: the metadata key '{}' is given twice.", source_, escape_text(key)));
  entries_.push_back({std::move(key), std::move(value), offset});
}

const MetadataEntry* Metadata::find_entry(std::string_view key) const noexcept {
  const auto it = index_.find(key);
  return it == index_.end() ? nullptr : &entries_[it->second];
}

const Value* Metadata::find(std::string_view key) const noexcept {
  const MetadataEntry* e = find_entry(key);
  return e == nullptr ? nullptr : &e->value;
}

void Metadata::throw_missing(std::string_view key) const {
  throw Error(
      ErrorCode::kCorruptFile,
      fmt::format("{}: the metadata key '{}' is missing. The file was made for another program or by an "
                  "incomplete conversion; use another conversion of the model.",
                  source_, escape_text(key)));
}

void Metadata::throw_wrong_type(const MetadataEntry& entry, std::string_view expected) const {
  throw Error(ErrorCode::kCorruptFile,
              fmt::format("{}: the metadata key '{}'{} has type {}, expected {}.", source_,
                          escape_text(entry.key), place(entry), type_name(entry.value), expected));
}

void Metadata::throw_bad(std::string_view key, std::string_view cause) const {
  const MetadataEntry* e = find_entry(key);
  if (e == nullptr) throw_missing(key);
  throw Error(ErrorCode::kCorruptFile,
              fmt::format("{}: the metadata key '{}'{} {}.", source_, escape_text(key), place(*e), cause));
}

template <class T>
T Metadata::convert(const MetadataEntry& entry, const Value& value) const {
  T out{};
  const Outcome outcome = std::visit(
      [&](const auto& stored) {
        using S = std::remove_cvref_t<decltype(stored)>;
        if constexpr (std::is_arithmetic_v<S>)
          return convert_number(stored, out);
        else
          return Outcome::kWrongType;
      },
      value.storage());
  if (outcome == Outcome::kWrongType) throw_wrong_type(entry, expected_name<T>());
  if (outcome == Outcome::kOutOfRange)
    throw_bad(entry.key,
              fmt::format("is {}, which does not fit {}", to_display_string(value), target_name<T>()));
  return out;
}

template <MetadataScalar T>
std::optional<T> Metadata::find(std::string_view key) const {
  const MetadataEntry* e = find_entry(key);
  if (e == nullptr) return std::nullopt;
  if constexpr (std::is_same_v<T, std::string_view>) {
    const auto* text = e->value.as<std::string>();
    if (text == nullptr) throw_wrong_type(*e, expected_name<T>());
    return *text;
  } else {
    const T v = convert<T>(*e, e->value);
    if constexpr (std::is_floating_point_v<T>)
      if (!std::isfinite(v)) throw_bad(key, fmt::format("is {}, but must be a finite number", v));
    return v;
  }
}

const StringArray* Metadata::find_strings(std::string_view key) const {
  const MetadataEntry* e = find_entry(key);
  if (e == nullptr) return nullptr;
  const Array* array = e->value.as<Array>();
  const StringArray* strings = array == nullptr ? nullptr : array->as<StringArray>();
  if (strings == nullptr) throw_wrong_type(*e, "array of string");
  return strings;
}

const StringArray& Metadata::get_strings(std::string_view key) const {
  if (const StringArray* strings = find_strings(key)) return *strings;
  throw_missing(key);
}

template <class T>
std::optional<std::vector<T>> Metadata::find_numbers(std::string_view key) const {
  const MetadataEntry* e = find_entry(key);
  if (e == nullptr) return std::nullopt;
  const Array* array = e->value.as<Array>();
  if (array == nullptr) throw_wrong_type(*e, fmt::format("an array of numbers ({})", expected_name<T>()));
  std::vector<T> out;
  out.reserve(array->size());
  std::visit(
      [&](const auto& elements) {
        using S = typename std::remove_cvref_t<decltype(elements)>::value_type;
        if constexpr (std::is_arithmetic_v<S>) {
          for (size_t i = 0; i < elements.size(); ++i) {
            T v{};
            const Outcome outcome = convert_number(static_cast<S>(elements[i]), v);
            if (outcome == Outcome::kWrongType)
              throw_wrong_type(*e, fmt::format("an array of {}", expected_name<T>()));
            if (outcome == Outcome::kOutOfRange)
              throw_bad(key,
                        fmt::format("has element {} = {}, which does not fit {}", i,
                                    to_display_string(Value(static_cast<S>(elements[i]))), target_name<T>()));
            out.push_back(v);
          }
        } else {
          throw_wrong_type(*e, fmt::format("an array of {}", expected_name<T>()));
        }
      },
      array->storage());
  return out;
}

std::vector<uint32_t> Metadata::get_u32_each(std::string_view key, size_t n) const {
  const MetadataEntry* e = find_entry(key);
  if (e == nullptr) throw_missing(key);
  if (e->value.type() != ValueType::kArray) return std::vector<uint32_t>(n, get<uint32_t>(key));
  std::vector<uint32_t> each = get_numbers<uint32_t>(key);
  if (each.size() != n)
    throw_bad(key, fmt::format("has {} elements, expected one for each of {} layers", each.size(), n));
  return each;
}

template std::optional<uint32_t> Metadata::find(std::string_view) const;
template std::optional<int32_t> Metadata::find(std::string_view) const;
template std::optional<uint64_t> Metadata::find(std::string_view) const;
template std::optional<int64_t> Metadata::find(std::string_view) const;
template std::optional<float> Metadata::find(std::string_view) const;
template std::optional<double> Metadata::find(std::string_view) const;
template std::optional<bool> Metadata::find(std::string_view) const;
template std::optional<std::string_view> Metadata::find(std::string_view) const;
template std::optional<std::vector<uint32_t>> Metadata::find_numbers(std::string_view) const;
template std::optional<std::vector<int32_t>> Metadata::find_numbers(std::string_view) const;
template std::optional<std::vector<uint64_t>> Metadata::find_numbers(std::string_view) const;
template std::optional<std::vector<int64_t>> Metadata::find_numbers(std::string_view) const;
template std::optional<std::vector<float>> Metadata::find_numbers(std::string_view) const;
template std::optional<std::vector<bool>> Metadata::find_numbers(std::string_view) const;

}  // namespace moraine::gguf
