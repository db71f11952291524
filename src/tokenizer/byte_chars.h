// GPT-2's way of writing arbitrary bytes as printable characters: a byte that is a visible Latin-1
// character stands for itself, the others take U+0100, U+0101, ... in order ("Ġ" is the space).
// Vocabularies of byte-level BPE models are spelled in it.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "tokenizer/utf8.h"

namespace moraine {

// byte -> code point
constexpr std::array<std::uint16_t, 256> make_byte_chars() {
  std::array<std::uint16_t, 256> chars{};
  std::uint16_t next = 256;
  for (int b = 0; b < 256; ++b) {
    const bool visible = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
    chars[b] = visible ? static_cast<std::uint16_t>(b) : next++;
  }
  return chars;
}
inline constexpr std::array<std::uint16_t, 256> kByteChars = make_byte_chars();

// code point -> byte, -1 where it stands for none; the alphabet ends before U+0144.
constexpr std::array<std::int16_t, 0x144> make_char_bytes() {
  std::array<std::int16_t, 0x144> bytes{};
  for (auto& b : bytes) b = -1;
  for (int b = 0; b < 256; ++b) bytes[kByteChars[b]] = static_cast<std::int16_t>(b);
  return bytes;
}
inline constexpr std::array<std::int16_t, 0x144> kCharBytes = make_char_bytes();

inline void append_byte_chars(std::string& out, std::string_view bytes) {
  for (const char c : bytes) utf8::append(out, kByteChars[static_cast<std::uint8_t>(c)]);
}

// The bytes spelled by a token's text; characters outside the alphabet stand for themselves.
inline void append_spelled_bytes(std::string& out, std::string_view text) {
  while (!text.empty()) {
    const utf8::Sequence s = utf8::next(text);
    const bool known = s.kind == utf8::Kind::kValid && s.code_point < kCharBytes.size();
    const int byte = known ? kCharBytes[s.code_point] : -1;
    if (byte >= 0)
      out += static_cast<char>(byte);
    else
      out.append(text.substr(0, s.size));
    text.remove_prefix(s.size);
  }
}

}  // namespace moraine
