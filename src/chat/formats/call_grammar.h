// Grammars of tool calls, in Lark: how a format's calls to a request's tools are written, and what opens one.
// Each format's stands beside its parser (xml_, json_ and gemma4_call_grammar.cpp) and allows what the model
// was taught, as its template writes it: the parsers read more. answer_constraint.h makes constraints of
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
// `single`: what is written in one piece holds one call.
CallGrammar mistral_call_grammar(std::span<const ToolSchema> tools, const LarkToken& token, bool single);
// The object alone, with its arguments under `member`: Llama 3's "parameters", the generic form's
// "arguments".
CallGrammar bare_call_grammar(std::span<const ToolSchema> tools, std::string_view member);
CallGrammar gemma4_call_grammar(std::span<const ToolSchema> tools, const LarkToken& token);

// No rules: calls of this format are not bound.
CallGrammar call_grammar(CallFormat format, std::span<const ToolSchema> tools, const LarkToken& token,
                         bool single);

}  // namespace moraine::chat
