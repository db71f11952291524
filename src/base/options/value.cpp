#include "base/options/value.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

namespace moraine::options {
namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

constexpr int64_t kHuge = std::numeric_limits<int32_t>::max();

}  // namespace

bool equal_ignoring_case(std::string_view a, std::string_view b) noexcept {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return lower(x) == lower(y); });
}

std::optional<int64_t> parse_integer(std::string_view text) noexcept {
  if (text.size() > 1 && text.front() == '+' && text[1] != '-') text.remove_prefix(1);
  int64_t v = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), v);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return v;
}

std::optional<double> parse_real(std::string_view text) noexcept {
  if (text.size() > 1 && text.front() == '+' && text[1] != '-') text.remove_prefix(1);
  double v = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), v);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(v)) return std::nullopt;
  return v;
}

std::optional<bool> parse_bool(std::string_view text) noexcept {
  for (const char* yes : {"on", "true", "1", "yes", "enabled"})
    if (equal_ignoring_case(text, yes)) return true;
  for (const char* no : {"off", "false", "0", "no", "disabled"})
    if (equal_ignoring_case(text, no)) return false;
  return std::nullopt;
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> pieces;
  while (!text.empty()) {
    const size_t end = std::min(text.find(separator), text.size());
    if (end > 0) pieces.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return pieces;
}

std::string integer_words(int64_t min, int64_t max) {
  if (max >= kHuge)
    return min <= -kHuge ? "a whole number" : fmt::format("a whole number of at least {}", min);
  return fmt::format("a whole number from {} to {}", min, max);
}

std::string real_words(double min, double max) {
  if (max >= 1e6) return min <= -1e6 ? "a number" : fmt::format("a number of at least {}", min);
  return fmt::format("a number from {} to {}", min, max);
}

std::string choice_words(const std::vector<std::string>& names) {
  std::string words = names.size() > 1 ? "one of " : "";
  for (size_t i = 0; i < names.size(); ++i)
    words += (i == 0 ? "" : i + 1 == names.size() ? " and " : ", ") + names[i];
  return words;
}

Value text(std::string& place) {
  return {"a text that is not empty", [&place](std::string_view text) {
            if (text.empty()) return false;
            place = text;
            return true;
          }};
}

Value texts(std::vector<std::string>& place) {
  return {"one text or several, separated by commas", [&place](std::string_view text) {
            const std::vector<std::string> pieces = split(text, ',');
            place.insert(place.end(), pieces.begin(), pieces.end());
            return !pieces.empty();
          }};
}

Value integers(std::vector<int32_t>& place, int64_t min, int64_t max) {
  return {integer_words(min, max) + ", or several separated by commas",
          [&place, min, max](std::string_view text) {
            std::vector<int32_t> numbers;
            for (const std::string& piece : split(text, ',')) {
              const auto v = parse_integer(piece);
              if (!v || *v < min || *v > max) return false;
              numbers.push_back(static_cast<int32_t>(*v));
            }
            if (numbers.empty()) return false;
            place = std::move(numbers);
            return true;
          }};
}

// Powers of 1024, as memory is counted, whether written G, GB or GiB.
Value bytes(uint64_t& place) {
  return {"a size such as 512M or 8G", [&place](std::string_view text) {
            const size_t end = std::min(text.find_first_not_of("0123456789."), text.size());
            const auto number = parse_real(text.substr(0, end));
            if (!number || *number < 0 || *number > 1e15) return false;
            std::string_view unit = text.substr(end);
            double factor = 1;
            if (!unit.empty()) {
              const size_t power = std::string_view("bkmgt").find(lower(unit.front()));
              if (power == std::string_view::npos) return false;
              for (size_t i = 0; i < power; ++i) factor *= 1024;
              unit.remove_prefix(1);
              if (!unit.empty() && !equal_ignoring_case(unit, "b") && !equal_ignoring_case(unit, "ib"))
                return false;
            }
            const double size = *number * factor;
            if (size > 1e18) return false;
            place = static_cast<uint64_t>(size);
            return true;
          }};
}

Value anything() {
  return {"any text", [](std::string_view) { return true; }};
}

Value any_switch() {
  return {"on or off", [](std::string_view text) { return parse_bool(text).has_value(); }};
}

Value on_off_auto(std::optional<bool>& place) {
  return {"on, off or auto", [&place](std::string_view text) {
            if (equal_ignoring_case(text, "auto") || text == "-1") {
              place.reset();
              return true;
            }
            const auto v = parse_bool(text);
            if (v) place = *v;
            return v.has_value();
          }};
}

Value any_on_off_auto() {
  return {"on, off or auto", [](std::string_view text) {
            return equal_ignoring_case(text, "auto") || text == "-1" || parse_bool(text).has_value();
          }};
}

}  // namespace moraine::options
