// Calls of Qwen3-Coder as a grammar: xml_call.h's form, exactly as the template writes it. Parameters come in
// any order, each once, and all that are required before the end. A string is raw text up to the closing tag
// and the next tag's beginning; a text that quotes the closing tag alone goes on. The parser takes a closing
// tag on the line of the text, so it ends a text here too. Texts are read by lines: within one nearly all
// tokens are allowed and the engine knows it at once, where a search for the end of the whole text takes
// fifteen times as long.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "chat/formats/call_grammar.h"
#include "constraint/lark.h"

namespace moraine::chat {
namespace {

using Json = nlohmann::ordered_json;
using constraint::lark_text;

// Of a tool's parameters, those that are counted: one bit each of the grammar's 64.
constexpr size_t kMaxCounted = 60;

struct Parameter {
  std::string key;
  uint8_t types = kJsonAny;
  const Json* schema = nullptr;
  bool required = false;
};

bool is_key(std::string_view key) {
  return !key.empty() && key.size() <= 128 && key.find_first_of("<>\n\r") == key.npos;
}

// Required ones first.
std::vector<Parameter> parameters_of(const Json& schema, const ToolParameters* types) {
  std::vector<Parameter> required, optional;
  const auto properties = schema.find("properties");
  if (properties == schema.end() || !properties->is_object()) return required;
  const auto names = schema.find("required");
  for (const auto& [key, value] : properties->items()) {
    if (!is_key(key)) continue;
    const bool needed = names != schema.end() && names->is_array() &&
                        std::find(names->begin(), names->end(), Json(key)) != names->end();
    (needed ? required : optional)
        .push_back({key, types == nullptr ? uint8_t{kJsonAny} : types->type(key), &value, needed});
  }
  required.insert(required.end(), optional.begin(), optional.end());
  return required;
}

// Whether the schema lets in parameters that it does not name.
bool is_open(const Json& schema) {
  const auto more = schema.find("additionalProperties");
  if (more != schema.end()) return !(more->is_boolean() && !more->get<bool>());
  const auto properties = schema.find("properties");
  return properties == schema.end() || !properties->is_object();
}

// A value with all that stands behind it, up to the next tag's "<".
std::string value_of(const Parameter& parameter, const Json& root) {
  const std::string end = lark_text("\n</parameter>\n<");
  if ((parameter.types & kJsonString) != 0) {
    const auto values =
        parameter.schema->is_object() ? parameter.schema->find("enum") : Json::const_iterator();
    const bool only_texts =
        parameter.types == kJsonString && parameter.schema->is_object() &&
        values != parameter.schema->end() && values->is_array() && !values->empty() &&
        std::all_of(values->begin(), values->end(), [](const Json& v) { return v.is_string(); });
    if (!only_texts) return "raw";
    std::string texts;
    for (const Json& value : *values) {
      if (!texts.empty()) texts += " | ";
      texts += lark_text(value.get_ref<const std::string&>());
    }
    return "(" + texts + ") " + end;
  }
  // References lead into the tool's schema.
  Json schema = *parameter.schema;
  for (const char* holder : {"$defs", "definitions"})
    if (schema.is_object() && root.contains(holder) && !schema.contains(holder))
      schema[holder] = root[holder];
  std::string value = constraint::lark_schema(schema.dump(-1, ' ', false, Json::error_handler_t::replace),
                                              constraint::Properties::kAsSchemaSays);
  // As the template shows them in the history.
  if ((parameter.types & kJsonBoolean) != 0) value += " | \"True\" | \"False\"";
  if ((parameter.types & kJsonNull) != 0) value += " | \"None\"";
  return "(" + value + ") " + end;
}

std::string tool_rules(const ToolSchema& tool, size_t index, const ToolParameters* types) {
  const Json schema = Json::parse(tool.parameters, nullptr, false);
  const std::string begin = lark_text("<function=" + tool.name + ">\n<");
  const bool relaxed = tool.relaxed || !schema.is_object();
  std::vector<Parameter> parameters;
  if (!relaxed) parameters = parameters_of(schema, types);
  const size_t n = std::min(parameters.size(), kMaxCounted);
  const auto n_required = static_cast<size_t>(
      std::count_if(parameters.begin(), parameters.begin() + static_cast<std::ptrdiff_t>(n),
                    [](const Parameter& p) { return p.required; }));

  std::string values, choices;
  const std::string next = n > 0 ? fmt::format("p{}::_", index) : fmt::format("p{}", index);
  for (size_t i = 0; i < parameters.size(); ++i) {
    values += fmt::format("v{}_{}: {} {}\n", index, i, lark_text("parameter=" + parameters[i].key + ">\n"),
                          value_of(parameters[i], schema));
    choices += i < n ? fmt::format(" | v{0}_{1} p{0}::set_bit({1}) %if bit_clear({1})", index, i)
                     : fmt::format(" | v{}_{} {}", index, i, next);
  }
  if (relaxed || is_open(schema)) choices += " | \"parameter=\" KEY \">\\n\" raw " + next;
  const std::string condition = n_required > 0 ? fmt::format(" %if is_ones([0:{}])", n_required) : "";
  return fmt::format("f{0}: {1} p{0}{2}\n{3}: \"/function>\"{4}{5}\n{6}", index, begin, n > 0 ? "::0x0" : "",
                     next, condition, choices, values);
}

}  // namespace

CallGrammar xml_call_grammar(std::span<const ToolSchema> tools, const LarkToken& token) {
  CallGrammar grammar;
  grammar.triggers.push_back({.text = "<tool_call>"});
  std::string functions, rules;
  for (size_t i = 0; i < tools.size(); ++i) {
    Json described = {
        {{"name", tools[i].name}, {"parameters", Json::parse(tools[i].parameters, nullptr, false)}}};
    const ToolTypes types = tools[i].relaxed ? ToolTypes() : ToolTypes::from_json(described.dump());
    functions += fmt::format("{}f{}", i > 0 ? " | " : "", i);
    rules += tool_rules(tools[i], i, types.find(tools[i].name));
    // The model sometimes forgets the tag, if not always the closing one; the parser takes this for a call
    // too.
    grammar.triggers.push_back({.text = "<function=" + tools[i].name + ">", .line_start = true});
  }
  grammar.rules = fmt::format(
      "call: {0} \"\\n\" function \"\\n\" {1} | function (\"\\n\" {1})?\n"
      "function: {2}\n"
      "raw: LINE* END\n"
      "LINE: /[^\\n]*\\n/\n"
      "END: /[^\\n]*<\\/parameter>\\n</\n"
      "KEY: /[^<>\\r\\n]{{1,128}}/\n",
      token("<tool_call>"), token("</tool_call>"), functions);
  grammar.rules += rules;
  return grammar;
}

}  // namespace moraine::chat
