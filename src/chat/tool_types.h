// What the schemas of a request's tools say about the types of their parameters: enough to turn what a
// model wrote ("5", True, 3.0) into what the tool takes. Knows no format and validates nothing: a schema
// that is none, or says nothing, allows any type.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace moraine::chat {

enum JsonType : uint8_t {
  kJsonString = 1,
  kJsonInteger = 2,
  kJsonNumber = 4,  // includes integers
  kJsonBoolean = 8,
  kJsonNull = 16,
  kJsonObject = 32,
  kJsonArray = 64,
  kJsonAny = 127,
};

struct ToolParameters {
  std::map<std::string, uint8_t, std::less<>> types;  // by name: a set of JsonType bits
  // kJsonAny for a parameter that the schema does not name.
  uint8_t type(std::string_view name) const;
  bool has(std::string_view name) const { return types.find(name) != types.end(); }
};

class ToolTypes {
 public:
  // From an array of tools as the OpenAI API has them. Never throws for what it may hold.
  static ToolTypes from_json(std::string_view tools_json);

  bool has(std::string_view name) const { return find(name) != nullptr; }
  const ToolParameters* find(std::string_view name) const;  // null: no such tool
  bool empty() const { return tools_.empty(); }

 private:
  std::map<std::string, ToolParameters, std::less<>> tools_;
};

}  // namespace moraine::chat
