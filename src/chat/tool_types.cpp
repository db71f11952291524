#include "chat/tool_types.h"

#include <nlohmann/json.hpp>

namespace moraine::chat {
namespace {

using Json = nlohmann::ordered_json;

// Of references and unions within each other. Deeper ones, such as those that lead back to themselves, say
// nothing.
constexpr int kMaxDepth = 8;
// Schemas looked at for one parameter: unions of unions could be exponentially many.
constexpr int kMaxSchemas = 256;

uint8_t bit_of(const std::string& type) {
  if (type == "string") return kJsonString;
  if (type == "integer") return kJsonInteger;
  if (type == "number") return kJsonNumber | kJsonInteger;
  if (type == "boolean") return kJsonBoolean;
  if (type == "null") return kJsonNull;
  if (type == "object") return kJsonObject;
  if (type == "array") return kJsonArray;
  return kJsonAny;
}

uint8_t bit_of_value(const Json& value) {
  switch (value.type()) {
    case Json::value_t::string:
      return kJsonString;
    case Json::value_t::number_integer:
    case Json::value_t::number_unsigned:
      return kJsonInteger;
    case Json::value_t::number_float:
      return kJsonNumber | kJsonInteger;
    case Json::value_t::boolean:
      return kJsonBoolean;
    case Json::value_t::null:
      return kJsonNull;
    case Json::value_t::object:
      return kJsonObject;
    case Json::value_t::array:
      return kJsonArray;
    default:
      return kJsonAny;
  }
}

// "#/$defs/place" within the tool's parameters; null where there is nothing.
const Json* resolve(const Json& root, const std::string& reference) {
  if (!reference.starts_with("#")) return nullptr;
  try {
    const Json::json_pointer pointer(reference.substr(1));
    return root.contains(pointer) ? &root.at(pointer) : nullptr;
  } catch (const Json::exception&) {
    return nullptr;
  }
}

uint8_t types_of(const Json& root, const Json& schema, int depth, int& budget) {
  if (!schema.is_object() || depth > kMaxDepth || --budget < 0) return kJsonAny;
  const auto at = [&](const char* name) {
    const auto found = schema.find(name);
    return found == schema.end() ? nullptr : &*found;
  };
  if (const Json* reference = at("$ref"); reference != nullptr && reference->is_string()) {
    const Json* target = resolve(root, reference->get_ref<const std::string&>());
    return target == nullptr ? uint8_t{kJsonAny} : types_of(root, *target, depth + 1, budget);
  }
  if (const Json* type = at("type")) {
    if (type->is_string()) return bit_of(type->get_ref<const std::string&>());
    if (type->is_array() && !type->empty()) {
      uint8_t bits = 0;
      for (const Json& one : *type)
        bits |= one.is_string() ? bit_of(one.get_ref<const std::string&>()) : uint8_t{kJsonAny};
      return bits;
    }
    return kJsonAny;
  }
  if (const Json* value = at("const")) return bit_of_value(*value);
  if (const Json* values = at("enum"); values != nullptr && values->is_array() && !values->empty()) {
    uint8_t bits = 0;
    for (const Json& value : *values) bits |= bit_of_value(value);
    return bits;
  }
  for (const char* name : {"anyOf", "oneOf"}) {
    const Json* choices = at(name);
    if (choices == nullptr || !choices->is_array() || choices->empty()) continue;
    uint8_t bits = 0;
    for (const Json& choice : *choices) bits |= types_of(root, choice, depth + 1, budget);
    return bits;
  }
  if (const Json* all = at("allOf"); all != nullptr && all->is_array()) {
    uint8_t bits = kJsonAny;
    for (const Json& one : *all) bits &= types_of(root, one, depth + 1, budget);
    return bits != 0 ? bits : uint8_t{kJsonAny};
  }
  if (schema.contains("properties")) return kJsonObject;
  if (schema.contains("items")) return kJsonArray;
  return kJsonAny;
}

}  // namespace

uint8_t ToolParameters::type(std::string_view name) const {
  const auto found = types.find(name);
  return found == types.end() ? uint8_t{kJsonAny} : found->second;
}

const ToolParameters* ToolTypes::find(std::string_view name) const {
  const auto found = tools_.find(name);
  return found == tools_.end() ? nullptr : &found->second;
}

ToolTypes ToolTypes::from_json(std::string_view tools_json) {
  ToolTypes result;
  const Json tools = Json::parse(tools_json, nullptr, /*allow_exceptions=*/false);
  if (!tools.is_array()) return result;
  for (const Json& tool : tools) {
    if (!tool.is_object()) continue;
    const auto function = tool.find("function");
    const Json& holder = function != tool.end() && function->is_object() ? *function : tool;
    const auto name = holder.find("name");
    if (name == holder.end() || !name->is_string()) continue;
    ToolParameters& parameters = result.tools_[name->get<std::string>()];
    const auto schema = holder.find("parameters");
    if (schema == holder.end() || !schema->is_object()) continue;
    const auto properties = schema->find("properties");
    if (properties == schema->end() || !properties->is_object()) continue;
    for (const auto& [key, property] : properties->items()) {
      int budget = kMaxSchemas;
      parameters.types[key] = types_of(*schema, property, 0, budget);
    }
  }
  return result;
}

}  // namespace moraine::chat
