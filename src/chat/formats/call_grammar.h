// Grammars of tool calls, in Lark: how a format's calls to a request's tools are written, and what opens one.
// Each format's stands beside its parser (xml_call_grammar.cpp, json_call_grammar.cpp) and allows what the
// model was taught, as its template writes it: the parsers read more. tool_constraint.h makes constraints of
// them.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "chat/output_format.h"
#include "constraint/token_constraint.h"

namespace moraine::chat {

struct ToolSchema {
  std::string name;
  std::string parameters;  // JSON text of an object
  // Its schema cannot be used: names and tags are bound, values are not.
  bool relaxed = false;
};

struct CallGrammar {
  // Lark rules, among them `call`: one call, or what a format writes in one piece.
  std::string rules;
  // What opens a call; `call` begins with each of these. Empty: nothing does for certain.
  std::vector<constraint::Trigger> triggers;
};

// A token in a grammar: Grammars::lark_token.
using LarkToken = std::function<std::string(std::string_view)>;

CallGrammar xml_call_grammar(std::span<const ToolSchema> tools, const LarkToken& token);  // kQwenXml
CallGrammar hermes_call_grammar(std::span<const ToolSchema> tools, const LarkToken& token);
CallGrammar mistral_call_grammar(std::span<const ToolSchema> tools, const LarkToken& token);
CallGrammar llama3_call_grammar(std::span<const ToolSchema> tools);
CallGrammar generic_call_grammar(std::span<const ToolSchema> tools);

// No rules: calls of this format are not bound.
CallGrammar call_grammar(CallFormat format, std::span<const ToolSchema> tools, const LarkToken& token);

}  // namespace moraine::chat
