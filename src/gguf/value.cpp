// How values and text from files are shown.
#include "gguf/value.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

namespace moraine::gguf {
namespace {

constexpr std::array<const char*, kValueTypeCount> kTypeNames = {
    "u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "string", "array", "u64", "i64", "f64"};

constexpr size_t kMaxShownStringBytes = 120;
constexpr size_t kMaxShownItemBytes = 40;

struct CodePoint {
  uint32_t value;
  size_t n_bytes;
};

// The code point at the front of `s`, strictly (no overlong forms, no surrogates); nothing where the
// bytes are not UTF-8.
std::optional<CodePoint> decode_utf8(std::string_view s) {
  const auto at = [&](size_t i) { return static_cast<uint8_t>(s[i]); };
  const uint8_t b = at(0);
  if (b < 0x80) return CodePoint{b, 1};
  const size_t n = b >= 0xC2 && b <= 0xDF ? 2 : (b & 0xF0) == 0xE0 ? 3 : b >= 0xF0 && b <= 0xF4 ? 4 : 0;
  if (n == 0 || s.size() < n) return std::nullopt;
  uint32_t v = b & (0xFFu >> (n + 1));
  for (size_t i = 1; i < n; ++i) {
    if ((at(i) & 0xC0) != 0x80) return std::nullopt;
    v = v << 6 | (at(i) & 0x3F);
  }
  if ((n == 3 && v < 0x800) || (n == 4 && v < 0x10000) || v > 0x10FFFF || (v >= 0xD800 && v <= 0xDFFF))
    return std::nullopt;
  return CodePoint{v, n};
}

// Controls (C0, DEL, C1) can drive a terminal; the others are invisible or turn the direction of text.
bool is_printable(uint32_t c) {
  if (c < 0x20 || (c >= 0x7F && c < 0xA0)) return false;
  return !(c >= 0x200B && c <= 0x200F) && !(c >= 0x2028 && c <= 0x202E) && !(c >= 0x2060 && c <= 0x2069) &&
         c != 0xFEFF;
}

std::string quoted(std::string_view text, size_t max_bytes) {
  std::string out = "\"";
  for (const char c : escape_text(text, max_bytes)) {
    if (c == '"') out += '\\';
    out += c;
  }
  out += '"';
  if (text.size() > max_bytes) out += fmt::format(" ({} bytes)", text.size());
  return out;
}

std::string item(bool v) { return v ? "true" : "false"; }
std::string item(std::string_view v) { return quoted(v, kMaxShownItemBytes); }
std::string item(const Array& v) { return fmt::format("[{} of {}]", v.size(), to_string(v.element_type())); }
template <class T>
std::string item(T v) {
  return fmt::format("{}", v);
}

std::string display(const Array& array, size_t max_items) {
  return std::visit(
      [&](const auto& elements) {
        std::string out = "[";
        const size_t n = elements.size();
        const size_t shown = std::min(n, max_items);
        for (size_t i = 0; i < shown; ++i) {
          if (i > 0) out += ", ";
          out += item(elements[i]);
        }
        if (n > shown) out += fmt::format("{}... {} in all", shown > 0 ? ", " : "", n);
        return out + "]";
      },
      array.storage());
}

}  // namespace

const char* to_string(ValueType type) noexcept {
  const auto i = static_cast<size_t>(type);
  return i < kTypeNames.size() ? kTypeNames[i] : "unknown";
}

std::string type_name(const Value& value) {
  const Array* array = value.as<Array>();
  if (array == nullptr) return to_string(value.type());
  return fmt::format("array of {}", to_string(array->element_type()));
}

std::string to_display_string(const Value& value, size_t max_items) {
  if (const auto* text = value.as<std::string>()) return quoted(*text, kMaxShownStringBytes);
  if (const auto* array = value.as<Array>()) return display(*array, max_items);
  return std::visit([](const auto& v) { return item(v); }, value.storage());
}

std::string escape_text(std::string_view text, size_t max_bytes) {
  std::string out;
  size_t i = 0;
  while (i < text.size() && i < max_bytes) {
    const std::optional<CodePoint> c = decode_utf8(text.substr(i));
    if (!c) {
      out += fmt::format("\\x{:02x}", static_cast<uint8_t>(text[i]));
      ++i;
      continue;
    }
    if (c->n_bytes > 1 && i + c->n_bytes > max_bytes) break;  // no half character at the cut
    if (c->value == '\n')
      out += "\\n";
    else if (c->value == '\t')
      out += "\\t";
    else if (c->value == '\r')
      out += "\\r";
    else if (c->value == '\\')
      out += "\\\\";
    else if (is_printable(c->value))
      out += text.substr(i, c->n_bytes);
    else if (c->value < 0x80)
      out += fmt::format("\\x{:02x}", c->value);
    else
      out += fmt::format("\\u{:04x}", c->value);
    i += c->n_bytes;
  }
  if (i < text.size()) out += "...";
  return out;
}

}  // namespace moraine::gguf
