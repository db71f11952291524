// How a model writes what is not content: its tool calls and its reasoning. Owns the list of formats and
// the way from a format to its parser. Which one a template has is found by formats/detect.cpp; each
// format's grammar and parser is a file of formats/. See docs/add-a-tool-format.md.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "chat/output_parser.h"
#include "chat/tool_types.h"

namespace moraine::chat {

enum class CallFormat : uint8_t {
  kNone,         // the template shows no tools: nothing is a call
  kQwenXml,      // <tool_call><function=NAME><parameter=KEY>VALUE</parameter></function></tool_call>
  kHermes,       // <tool_call>{"name": NAME, "arguments": {...}}</tool_call>
  kLlama3,       // {"name": NAME, "parameters": {...}}
  kMistral,      // [TOOL_CALLS][{"name": NAME, "arguments": {...}}] or [TOOL_CALLS]NAME[ARGS]{...}
  kGemma4,       // <|tool_call>call:NAME{key:<|"|>text<|"|>}<tool_call|>
  kGenericJson,  // whatever else: an answer, or a fenced block, that is a call as JSON
};

const char* name_of(CallFormat format);  // "qwen-xml", "hermes", ...

struct OutputFormat {
  CallFormat calls = CallFormat::kNone;
  // What stands around reasoning; empty: the model has none.
  std::string reasoning_begin, reasoning_end;
  // Texts of tokens the parser must see although they may be control tokens (StreamDecoder drops those).
  std::vector<std::string> markers;
  // Ids of calls in this model's templates: 9 letters and digits (Mistral).
  bool short_call_ids = false;
};

// Where an answer begins, told by the end of its prompt.
enum class ReasoningStart : uint8_t {
  kUnknown,  // the model may open its reasoning, or not
  kOpen,     // the prompt ends within reasoning
  kClosed,   // the prompt ends after it, or within content
};

struct ParserOptions {
  bool calls = false;           // tools were offered; else what looks like a call is text
  bool apart_reasoning = true;  // false: reasoning stays in the content, with its tags
  bool single_call = false;     // calls after the first are dropped (parallel_tool_calls: false)
  ReasoningStart reasoning = ReasoningStart::kUnknown;
  uint64_t id_seed = 0;  // ids of calls follow from it: random for each answer and choice
};

// `tools` may be null: no schema is known.
std::unique_ptr<OutputParser> make_output_parser(const OutputFormat& format,
                                                 std::shared_ptr<const ToolTypes> tools,
                                                 const ParserOptions& options);

// What the end of a prompt says about the answer that follows. `continued`: text of the answer itself stands
// at the end of the prompt.
ReasoningStart reasoning_start(const OutputFormat& format, std::string_view prompt,
                               std::string_view continued);

}  // namespace moraine::chat
