#include "server/api/fields.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <type_traits>

#include "server/api/errors.h"

namespace moraine::server {
namespace {

template <typename T>
ApiError out_of_range(const std::string& path, T min, T max) {
  if constexpr (std::is_integral_v<T>) {  // bounds that nobody set are not worth their 19 digits
    if (max == std::numeric_limits<T>::max()) {
      return min == std::numeric_limits<T>::min()
                 ? bad_request(path, fmt::format("'{}' must be a number that fits into 64 bits.", path))
                 : bad_request(path, fmt::format("'{}' must be at least {}, within 64 bits.", path, min));
    }
  }
  return bad_request(path, fmt::format("'{}' must lie between {} and {}.", path, min, max));
}

}  // namespace

const char* kind_of(const Json& value) {
  switch (value.type()) {
    case Json::value_t::null:
      return "null";
    case Json::value_t::object:
      return "an object";
    case Json::value_t::array:
      return "an array";
    case Json::value_t::string:
      return "a string";
    case Json::value_t::boolean:
      return "a boolean";
    case Json::value_t::number_integer:
    case Json::value_t::number_unsigned:
    case Json::value_t::number_float:
      return "a number";
    case Json::value_t::binary:
    case Json::value_t::discarded:
      break;
  }
  return "something else";
}

Fields::Fields(const Json& object, std::string prefix) : object_(object), prefix_(std::move(prefix)) {
  if (object.is_object()) return;
  const std::string name = prefix_.empty() ? "" : prefix_.substr(0, prefix_.size() - 1);
  throw bad_request(name, fmt::format("{} must be an object, not {}.",
                                      name.empty() ? "The request body" : "'" + name + "'", kind_of(object)));
}

void Fields::wrong_type(const char* name, const char* expected) const {
  const Json* value = find(name);
  throw bad_request(path(name), fmt::format("'{}' must be {}, not {}.", path(name), expected,
                                            value != nullptr ? kind_of(*value) : "null"));
}

const Json* Fields::find(const char* name) const {
  const auto it = object_.find(name);
  return it == object_.end() || it->is_null() ? nullptr : &*it;
}

std::optional<bool> Fields::boolean(const char* name) const {
  const Json* value = find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_boolean()) wrong_type(name, "a boolean");
  return value->get<bool>();
}

std::optional<std::string> Fields::string(const char* name) const {
  const Json* value = find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string()) wrong_type(name, "a string");
  return value->get<std::string>();
}

std::optional<int64_t> Fields::integer(const char* name, int64_t min, int64_t max) const {
  const Json* value = find(name);
  if (value == nullptr) return std::nullopt;
  int64_t result = 0;
  if (value->is_number_unsigned()) {
    const auto u = value->get<uint64_t>();
    if (u > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
      throw out_of_range(path(name), min, max);
    result = static_cast<int64_t>(u);
  } else if (value->is_number_integer()) {
    result = value->get<int64_t>();
  } else if (value->is_number_float()) {
    const double d = value->get<double>();
    if (d != std::floor(d)) wrong_type(name, "a whole number");
    if (!(d >= -9.2e18 && d <= 9.2e18))
      throw out_of_range(path(name), min, max);  // beyond it the cast is undefined
    result = static_cast<int64_t>(d);
  } else {
    wrong_type(name, "a whole number");
  }
  if (result < min || result > max) throw out_of_range(path(name), min, max);
  return result;
}

std::optional<double> Fields::number(const char* name, double min, double max) const {
  const Json* value = find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number()) wrong_type(name, "a number");
  const double d = value->get<double>();
  if (!(d >= min && d <= max)) throw out_of_range(path(name), min, max);
  return d;
}

std::vector<std::string> Fields::strings(const char* name) const {
  const Json* value = find(name);
  if (value == nullptr) return {};
  if (value->is_string()) return {value->get<std::string>()};
  if (!value->is_array()) wrong_type(name, "a string or an array of strings");
  std::vector<std::string> result;
  for (const Json& item : *value) {
    if (!item.is_string()) {
      throw bad_request(path(name), fmt::format("'{}[{}]' must be a string, not {}.", path(name),
                                                result.size(), kind_of(item)));
    }
    result.push_back(item.get<std::string>());
  }
  return result;
}

std::optional<Fields> Fields::child(const char* name) const {
  const Json* value = find(name);
  if (value == nullptr) return std::nullopt;
  return Fields(*value, path(name) + ".");
}

}  // namespace moraine::server
