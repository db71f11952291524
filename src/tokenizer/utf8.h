// UTF-8, one sequence at a time: what the tokenizer and the stream decoder need to tell whole
// characters, broken bytes and unfinished ends apart. No normalisation here: nfc.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace moraine::utf8 {

enum class Kind : std::uint8_t { kValid, kInvalid, kIncomplete };

// The sequence at the front of a non-empty text. kInvalid spans a maximal ill-formed part, which is
// what one U+FFFD stands for (Unicode 3.9, "substitution of maximal subparts"); kIncomplete is the
// beginning of a character that the end of the text cuts off.
struct Sequence {
  Kind kind;
  std::uint8_t size;         // bytes, 1 to 4
  std::uint32_t code_point;  // of a valid one
};
Sequence next(std::string_view text) noexcept;

// Where the first byte that is not part of valid UTF-8 lies; text.size() if there is none.
std::size_t valid_prefix(std::string_view text) noexcept;

bool is_ascii(std::string_view text) noexcept;

void append(std::string& out, std::uint32_t code_point);

inline constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

}  // namespace moraine::utf8
