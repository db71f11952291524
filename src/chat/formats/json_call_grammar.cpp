// Calls that are JSON objects, as grammars: Hermes (Qwen 2.5 and 3), Mistral, Llama 3, and the generic form.
#include <fmt/format.h>

#include "chat/formats/call_grammar.h"
#include "chat/formats/json_text.h"
#include "constraint/lark.h"

namespace moraine::chat {
namespace {

using constraint::lark_text;

// a0, a1, ...: the arguments of each tool.
std::string argument_rules(std::span<const ToolSchema> tools) {
  std::string rules;
  for (size_t i = 0; i < tools.size(); ++i) {
    const std::string schema =
        tools[i].relaxed
            ? constraint::lark_schema(R"({"type":"object"})", constraint::Properties::kAsSchemaSays)
            : constraint::lark_schema(tools[i].parameters, constraint::Properties::kNamedOnly);
    rules += fmt::format("a{}: {}\n", i, schema);
  }
  return rules;
}

// How a call begins, up to its arguments: spaced as templates write JSON, and compact.
std::vector<std::string> heads(const std::string& name, std::string_view member) {
  return {fmt::format("{{\"name\": {}, \"{}\": ", quoted(name), member),
          fmt::format("{{\"name\":{},\"{}\":", quoted(name), member)};
}

// object: {"name": NAME, "<member>": ARGUMENTS}. `tail`: Lark behind the arguments.
std::string object_rules(std::span<const ToolSchema> tools, std::string_view member, std::string_view tail) {
  std::string choices;
  for (size_t i = 0; i < tools.size(); ++i) {
    const auto head = heads(tools[i].name, member);
    choices += fmt::format("{}({} | {}) a{}", i > 0 ? " | " : "", lark_text(head[0]), lark_text(head[1]), i);
  }
  return fmt::format("object: ({}) {}\"}}\"\n", choices, tail) + argument_rules(tools);
}

}  // namespace

CallGrammar hermes_call_grammar(std::span<const ToolSchema> tools, const LarkToken& token) {
  return {.rules =
              fmt::format("call: {} /\\n?/ object /\\n?/ {}\n", token("<tool_call>"), token("</tool_call>")) +
              object_rules(tools, "arguments", ""),
          .triggers = {{.text = "<tool_call>"}}};
}

// An array of all calls, or since its 11th tokenizer one call behind each tag.
CallGrammar mistral_call_grammar(std::span<const ToolSchema> tools, const LarkToken& token, bool single) {
  std::string named;
  for (size_t i = 0; i < tools.size(); ++i)
    named += fmt::format("{}{} id? {} a{}", i > 0 ? " | " : "", lark_text(tools[i].name), token("[ARGS]"), i);
  return {.rules = fmt::format("call: {} (array | named)\n"
                               "array: / ?/ \"[\" object{} \"]\"\n"
                               "named: {}\n"
                               "id: {} /[a-zA-Z0-9]{{9}}/\n",
                               token("[TOOL_CALLS]"), single ? "" : " (\", \" object)*", named,
                               token("[CALL_ID]")) +
                   object_rules(tools, "arguments", "(\", \\\"id\\\": \\\"\" /[a-zA-Z0-9]{9}/ \"\\\"\")? "),
          .triggers = {{.text = "[TOOL_CALLS]"}}};
}

// A call is told from an answer in JSON by what its name and arguments look like: all of it opens one.
CallGrammar bare_call_grammar(std::span<const ToolSchema> tools, std::string_view member) {
  CallGrammar grammar{.rules = "call: object\n" + object_rules(tools, member, "")};
  for (const ToolSchema& tool : tools)
    for (std::string head : heads(tool.name, member)) {
      if (head.ends_with(' ')) head.pop_back();  // it may come in one token with what follows
      grammar.triggers.push_back({.text = std::move(head), .text_start = true});
    }
  return grammar;
}

CallGrammar call_grammar(CallFormat format, std::span<const ToolSchema> tools, const LarkToken& token,
                         bool single) {
  switch (format) {
    case CallFormat::kQwenXml:
      return xml_call_grammar(tools, token);
    case CallFormat::kHermes:
      return hermes_call_grammar(tools, token);
    case CallFormat::kMistral:
      return mistral_call_grammar(tools, token, single);
    case CallFormat::kLlama3:
      return bare_call_grammar(tools, "parameters");
    case CallFormat::kGenericJson:
      return bare_call_grammar(tools, "arguments");
    case CallFormat::kGemma4:
      return gemma4_call_grammar(tools, token);
    case CallFormat::kNone:
      return {};
  }
  return {};
}

}  // namespace moraine::chat
