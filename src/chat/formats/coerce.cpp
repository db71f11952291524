#include "chat/formats/coerce.h"

#include "chat/formats/json_text.h"
#include "chat/formats/relaxed_json.h"
#include "chat/formats/scanner.h"
#include "chat/tool_types.h"

namespace moraine::chat {
namespace {

bool is_integer(std::string_view number) { return number.find_first_of(".eE") == number.npos; }

// The types a value counts as; a whole number is an integer and a number.
uint8_t types_of(std::string_view json) {
  switch (json.empty() ? ' ' : json[0]) {
    case '"':
      return kJsonString;
    case '{':
      return kJsonObject;
    case '[':
      return kJsonArray;
    case 't':
    case 'f':
      return kJsonBoolean;
    case 'n':
      return kJsonNull;
    default:
      return is_integer(json) ? kJsonInteger | kJsonNumber : kJsonNumber;
  }
}

// 3.0 is the integer 3; empty where it is none.
std::string whole_number(std::string_view json) {
  const size_t point = json.find('.');
  if (point == json.npos || json.find_first_not_of("0", point + 1) != json.npos) return "";
  return std::string(json.substr(0, point));
}

// The value of the whole text, "" where it is none.
std::string parse(std::string_view text) {
  std::string json;
  RelaxedJson reader;
  if (reader.push(text, json, /*at_end=*/true) != RelaxedJson::Status::kDone || !skip_space(text).empty())
    return "";
  return json;
}

// `json` as one of `types`, or "". Strings are not looked into.
std::string fit(const std::string& json, uint8_t types) {
  if (json.empty()) return "";
  const uint8_t own = types_of(json);
  if ((own & types) != 0) return json;
  if (own == kJsonNumber && (types & kJsonInteger) != 0) return whole_number(json);
  return "";
}

}  // namespace

std::string coerce_text(std::string_view text, uint8_t types) {
  const auto others = static_cast<uint8_t>(types & ~kJsonString);
  if (others != 0) {
    const std::string json = parse(text);
    std::string fitted = fit(json, others);
    if (fitted.empty() && (types & kJsonString) == 0 && json.starts_with('"'))
      fitted = fit(parse(unquoted(json)), others);
    if (!fitted.empty()) return fitted;
  }
  return quoted(text);
}

std::string coerce_value(std::string_view json, uint8_t types) {
  std::string value(json);
  std::string fitted = fit(value, types);
  if (!fitted.empty()) return fitted;
  if (value.starts_with('"')) fitted = fit(parse(unquoted(value)), types);
  if (!fitted.empty()) return fitted;
  // An object for a text: clients that write JSON files get its text.
  return (types & kJsonString) != 0 && value != "null" ? quoted(value) : value;
}

}  // namespace moraine::chat
