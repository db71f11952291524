#include "constraint/lark.h"

#include <moraine/error.h>

#include <nlohmann/json.hpp>

namespace moraine::constraint {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kMaxDepth = 200;  // of a schema: it is walked through by recursion

// As the template of a schema would be filled by hand: after a comma or colon a space, or a line end and an
// indentation. Without a bound a model may go on with white space for ever.
constexpr const char* kWhiteSpace = R"( |\n{1,2}[ \t]{0,32})";

}  // namespace

std::string lark_text(std::string_view text) {
  std::string quoted = Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
  // The engine's own syntax for strings has no DEL.
  for (size_t at = quoted.find('\x7f'); at != quoted.npos; at = quoted.find('\x7f', at))
    quoted.replace(at, 1, "\\u007f");
  return quoted;
}

std::string lark_schema(std::string_view text, Properties properties) {
  bool deep = false;
  const auto shallow = [&](int depth, Json::parse_event_t, Json&) { return !(deep |= depth > kMaxDepth); };
  Json schema = Json::parse(text, shallow, false);
  if (deep) throw Error(ErrorCode::kInvalidArgument, "The schema is nested too deep.");
  if (schema.is_discarded()) throw Error(ErrorCode::kInvalidArgument, "The schema is not valid JSON.");
  if (schema.is_boolean() && schema.get<bool>()) schema = Json::object();
  if (!schema.is_object())
    throw Error(ErrorCode::kInvalidArgument, "The schema is neither an object nor true.");
  if (properties == Properties::kNamedOnly) {
    const auto names = schema.find("properties");
    bool open = names == schema.end() || !names->is_object();
    for (const char* speaks : {"additionalProperties", "patternProperties", "unevaluatedProperties", "$ref",
                               "allOf", "anyOf", "oneOf"})
      open |= schema.contains(speaks);
    if (!open) schema["additionalProperties"] = false;
  }
  schema["x-guidance"] = {{"lenient", true}, {"coerce_one_of", true}, {"whitespace_pattern", kWhiteSpace}};
  return "%json " + schema.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string lark_regex(std::string_view regex) {
  std::string text = "/";
  for (size_t i = 0; i < regex.size(); ++i) {
    const char c = regex[i];
    if (c == '\\' && i + 1 < regex.size()) {
      text += c;
      text += regex[++i];
    } else if (c == '\n') {
      text += "\\n";
    } else {
      if (c == '/') text += '\\';
      text += c;
    }
  }
  return text + "/";
}

}  // namespace moraine::constraint
