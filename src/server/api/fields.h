// Typed access to the members of a request body: absent and null alike mean "not given"; anything
// else of the wrong type or range is a 400 that names the field.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "server/api/json.h"

namespace moraine::server {

class Fields {
 public:
  // Throws ApiError 400 unless `object` is one. Keeps a reference. `prefix` stands before names in errors.
  explicit Fields(const Json& object, std::string prefix = "");

  const Json* find(const char* name) const;  // null where absent or null
  bool has(const char* name) const { return find(name) != nullptr; }
  const Json& object() const { return object_; }

  std::optional<bool> boolean(const char* name) const;
  std::optional<std::string> string(const char* name) const;
  // Whole numbers; 3.0 counts as one.
  std::optional<int64_t> integer(const char* name, int64_t min = std::numeric_limits<int64_t>::min(),
                                 int64_t max = std::numeric_limits<int64_t>::max()) const;
  std::optional<double> number(const char* name, double min = -1e30, double max = 1e30) const;
  // A string or an array of strings; empty where absent.
  std::vector<std::string> strings(const char* name) const;
  std::optional<Fields> child(const char* name) const;  // an object within

  std::string path(const char* name) const { return prefix_ + name; }
  [[noreturn]] void wrong_type(const char* name, const char* expected) const;

 private:
  const Json& object_;
  std::string prefix_;
};

// "a string", "an array", ...: how an error calls what it found.
const char* kind_of(const Json& value);

}  // namespace moraine::server
