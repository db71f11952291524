// Calls of Gemma 4 as a grammar: gemma4.h's notation, as the template writes it. JSON's grammar does not fit
// (keys are bare, strings raw), so schemas are followed here: types, enums, properties, items. What else a
// schema says is not enforced. Members come in the order of their names, as in the template's own calls.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "chat/formats/call_grammar.h"
#include "chat/formats/scanner.h"
#include "constraint/lark.h"

namespace moraine::chat {
namespace {

using Json = nlohmann::ordered_json;
using constraint::lark_text;

constexpr int kMaxDepth = 12;
constexpr size_t kMaxRules = 20'000;
constexpr std::string_view kQuote = "<|\"|>";

// Values whose schemas say nothing. A text ends at the first quote; the quote is part of its word, because
// words are read as long as they can be.
constexpr const char* kCommonRules = R"(quote: "<|\"|>"
TEXT: /([^<]|<(\|?<)*([^<|]|\|[^<"]))*<(\|?<)*\|"\|>/
INTEGER: /-?(0|[1-9][0-9]{0,18})/
NUMBER: /-?(0|[1-9][0-9]{0,18})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?/
KEY: /[A-Za-z_][A-Za-z0-9_.-]{0,63}/
any: quote TEXT | NUMBER | "true" | "false" | "null" | any_object | any_array
any_object: "{" (KEY ":" any ("," KEY ":" any)*)? "}"
any_array: "[" (any ("," any)*)? "]"
)";

class ValueRules {
 public:
  // Lark for a value of the schema.
  std::string value(const Json& schema, int depth) {
    if (!schema.is_object() || depth > kMaxDepth || n_rules_ > kMaxRules) return "any";
    for (const char* name : {"enum", "const"}) {
      const auto found = schema.find(name);
      if (found == schema.end()) continue;
      const std::string values = constants(name == std::string_view("enum") ? *found : Json::array({*found}));
      return values.empty() ? "any" : values;
    }
    const auto type = schema.find("type");
    if (type == schema.end()) return schema.contains("properties") ? object(schema, depth) : "any";
    if (type->is_string()) return value_of_type(*type, schema, depth);
    if (!type->is_array() || type->empty()) return "any";
    std::string choices;
    for (const Json& one : *type) {
      if (!one.is_string()) return "any";
      choices += (choices.empty() ? "" : " | ") + value_of_type(one, schema, depth);
    }
    return "(" + choices + ")";
  }

  // The members of an object, without its braces: two rules for each member, one for where something stands
  // before it.
  std::string members(const Json& schema, int depth) {
    const auto properties = schema.find("properties");
    if (properties == schema.end() || !properties->is_object())
      return "(KEY \":\" any (\",\" KEY \":\" any)*)?";
    std::vector<std::string> keys;
    for (const auto& [key, unused] : properties->items())
      if (is_name(key)) keys.push_back(key);
    std::sort(keys.begin(), keys.end());
    const auto required = schema.find("required");
    const size_t id = n_rules_++;
    std::string rules;
    for (size_t i = 0; i < keys.size(); ++i) {
      const std::string member = fmt::format("{} {} n{}_{}", lark_text(keys[i] + ":"),
                                             value((*properties)[keys[i]], depth + 1), id, i + 1);
      const bool needed = required != schema.end() && required->is_array() &&
                          std::find(required->begin(), required->end(), Json(keys[i])) != required->end();
      rules += fmt::format("m{0}_{1}: {2}{3}\nn{0}_{1}: \",\" {2}{4}\n", id, i, member,
                           needed ? "" : fmt::format(" | m{}_{}", id, i + 1),
                           needed ? "" : fmt::format(" | n{}_{}", id, i + 1));
      n_rules_ += 2;
    }
    rules_ += rules + fmt::format("m{0}_{1}: \"\"\nn{0}_{1}: \"\"\n", id, keys.size());
    return fmt::format("m{}_0", id);
  }

  std::string take() { return std::move(rules_); }

 private:
  std::string object(const Json& schema, int depth) { return "(\"{\" " + members(schema, depth) + " \"}\")"; }

  std::string value_of_type(const std::string& type, const Json& schema, int depth) {
    if (type == "string") return "(quote TEXT)";
    if (type == "integer") return "INTEGER";
    if (type == "number") return "NUMBER";
    if (type == "boolean") return "(\"true\" | \"false\")";
    if (type == "null") return "\"null\"";
    if (type == "object") return object(schema, depth);
    if (type != "array") return "any";
    const auto items = schema.find("items");
    const std::string item = items == schema.end() ? "any" : value(*items, depth + 1);
    const size_t id = n_rules_++;
    rules_ += fmt::format("i{0}: {1}\n", id, item);
    return fmt::format("(\"[\" (i{0} (\",\" i{0})*)? \"]\")", id);
  }

  // Empty: one of them is no scalar, or would end a text early.
  static std::string constants(const Json& values) {
    if (!values.is_array() || values.empty()) return "";
    std::string choices;
    for (const Json& value : values) {
      std::string text = value.is_string() ? value.get<std::string>() : value.dump();
      if (value.is_structured() || text.find('<') != text.npos) return "";
      if (value.is_string()) text = std::string(kQuote) + text + std::string(kQuote);
      choices += (choices.empty() ? "" : " | ") + lark_text(text);
    }
    return "(" + choices + ")";
  }

  std::string rules_;
  size_t n_rules_ = 0;
};

}  // namespace

CallGrammar gemma4_call_grammar(std::span<const ToolSchema> tools, const LarkToken& token) {
  // Where the quote is a control token it is no text of the grammar.
  if (token(kQuote) != lark_text(kQuote)) return {};
  ValueRules values;
  std::string functions;
  for (const ToolSchema& tool : tools) {
    const Json schema = Json::parse(tool.parameters, nullptr, false);
    const bool relaxed = tool.relaxed || !schema.is_object();
    functions += fmt::format("{}{} {}", functions.empty() ? "" : " | ", lark_text(tool.name + "{"),
                             values.members(relaxed ? Json::object() : schema, 0));
  }
  return {.rules = fmt::format("call: {} \"call:\" ({}) \"}}\" {}\n{}{}", token("<|tool_call>"), functions,
                               token("<tool_call|>"), kCommonRules, values.take()),
          .triggers = {{.text = "<|tool_call>"}}};
}

}  // namespace moraine::chat
