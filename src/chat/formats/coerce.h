// Values brought to the types a tool takes: what models write is close, but not always of the type. Values
// travel as JSON text. Which types: ToolTypes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace moraine::chat {

// From raw text (a parameter of the XML format): JSON or a Python literal of an allowed type; else a string.
// "5" is 5 where numbers are allowed, and "5" where only strings are.
std::string coerce_text(std::string_view text, uint8_t types);

// From a JSON value as RelaxedJson wrote it. What fits stays as it is, and so does what cannot be helped.
std::string coerce_value(std::string_view json, uint8_t types);

}  // namespace moraine::chat
