// Small readings of one-line files and lists of words, for everything that comes out of /sys and /etc.
#pragma once

#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/root_files.h"

namespace moraine::system {

std::string_view trim(std::string_view text) noexcept;
// Without what could take over a terminal or break a line: one line of at most 300 bytes.
std::string printable(std::string_view text);
std::vector<std::string_view> lines_of(std::string_view text);  // without line ends
std::vector<std::string_view> words_of(std::string_view text);  // between spaces and tabs

// A whole text as a number; `base` 16 takes an 0x in front.
template <class T>
std::optional<T> number_of(std::string_view text, int base = 10) noexcept {
  text = trim(text);
  if (base == 16 && (text.starts_with("0x") || text.starts_with("0X"))) text.remove_prefix(2);
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// "KEY=value" of a shell-like file such as os-release, quotes removed; empty where it is not there.
std::string shell_value(std::string_view text, std::string_view key);

// A one-line file, printable; empty where it cannot be read.
std::string read_line(const RootFiles& files, const std::string& path);
template <class T>
std::optional<T> read_number(const RootFiles& files, const std::string& path, int base = 10) {
  const RootFiles::Text text = files.read(path, 256);
  return text ? number_of<T>(text.text, base) : std::nullopt;
}

}  // namespace moraine::system
