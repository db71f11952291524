// What an option's value may be and where it goes. Each maker below binds a place in the program's
// settings; the words in `accepts` complete "must be ..." in an error.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace moraine::options {

struct Value {
  std::string accepts;
  std::function<bool(std::string_view)> set;  // false: not such a value; nothing was changed
};

// Whole texts alone: no spaces, no trailing letters, no infinity.
std::optional<int64_t> parse_integer(std::string_view text) noexcept;
std::optional<double> parse_real(std::string_view text) noexcept;
// on, true, 1, yes, enabled and their opposites, in any case.
std::optional<bool> parse_bool(std::string_view text) noexcept;
std::vector<std::string> split(std::string_view text, char separator);  // empty pieces are left out
bool equal_ignoring_case(std::string_view a, std::string_view b) noexcept;

std::string integer_words(int64_t min, int64_t max);
std::string real_words(double min, double max);
std::string choice_words(const std::vector<std::string>& names);

// `place`: an integer, or an optional of one.
template <class T>
Value integer(T& place, int64_t min, int64_t max) {
  return {integer_words(min, max), [&place, min, max](std::string_view text) {
            const auto v = parse_integer(text);
            if (!v || *v < min || *v > max) return false;
            if constexpr (std::is_integral_v<T>)
              place = static_cast<T>(*v);
            else
              place = static_cast<typename T::value_type>(*v);
            return true;
          }};
}

// As above, with values below `min` (-1, or 0) meaning "as the program thinks best", which is `automatic`.
template <class T>
Value integer_or_auto(T& place, int64_t min, int64_t max, T automatic) {
  return {integer_words(min, max) + ", or -1 for automatic",
          [&place, min, max, automatic](std::string_view text) {
            const auto v = text == "auto" ? std::optional<int64_t>(-1) : parse_integer(text);
            if (!v || *v < -1 || *v > max || (*v > 0 && *v < min)) return false;
            place = *v < min ? automatic : static_cast<T>(*v);
            return true;
          }};
}

template <class T>
Value real(T& place, double min, double max) {
  return {real_words(min, max), [&place, min, max](std::string_view text) {
            const auto v = parse_real(text);
            if (!v || *v < min || *v > max) return false;
            place = static_cast<float>(*v);
            return true;
          }};
}

template <class T>  // bool, or an optional of it
Value toggle(T& place) {
  return {"on or off", [&place](std::string_view text) {
            const auto v = parse_bool(text);
            if (v) place = *v;
            return v.has_value();
          }};
}

// One of several words, in any case.
template <class T>
Value choice(T& place, std::vector<std::pair<std::string, T>> choices) {
  std::vector<std::string> names;
  for (const auto& c : choices) names.push_back(c.first);
  return {choice_words(names), [&place, choices = std::move(choices)](std::string_view text) {
            for (const auto& c : choices)
              if (equal_ignoring_case(c.first, text)) {
                place = c.second;
                return true;
              }
            return false;
          }};
}

Value text(std::string& place);                                         // not empty
Value texts(std::vector<std::string>& place);                           // "a,b": adds to what is there
Value integers(std::vector<int32_t>& place, int64_t min, int64_t max);  // "512,1024": replaces
Value bytes(uint64_t& place);                                           // "8G", "512M", "1.5GiB"
Value anything();                                                       // taken and put nowhere
Value any_switch();                                                     // on or off, put nowhere
// on, off, auto and their synonyms: -fa, --log-colors, ...; empty for auto.
Value on_off_auto(std::optional<bool>& place);
Value any_on_off_auto();

}  // namespace moraine::options
