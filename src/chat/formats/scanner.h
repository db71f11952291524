// Finding markers in text that arrives in pieces: what must be held back because it may be the beginning
// of one. Helpers of the parsers in this folder.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string_view>

namespace moraine::chat {

inline constexpr std::string_view kWhiteSpace = " \t\r\n";

inline bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

inline std::string_view skip_space(std::string_view text) {
  const std::size_t at = text.find_first_not_of(kWhiteSpace);
  return at == text.npos ? std::string_view() : text.substr(at);
}

// Bytes at the end of `text` that are the beginning of `marker`, but not all of it.
inline std::size_t partial_suffix(std::string_view text, std::string_view marker) {
  for (std::size_t n = std::min(text.size(), marker.size() - 1); n > 0; --n)
    if (text.substr(text.size() - n) == marker.substr(0, n)) return n;
  return 0;
}

// How a text at hand compares with a word it may begin with.
enum class Match : unsigned char { kNo, kPartial, kYes };

inline Match begins_with(std::string_view text, std::string_view word) {
  if (text.starts_with(word)) return Match::kYes;
  return word.starts_with(text) ? Match::kPartial : Match::kNo;
}

// Names of tools and parameters as clients have them: A-Z a-z 0-9 _ - . : /, at most 128.
inline bool is_name(std::string_view name) {
  return !name.empty() && name.size() <= 128 && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.' || c == ':' || c == '/';
  });
}

}  // namespace moraine::chat
