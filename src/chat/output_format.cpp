#include "chat/output_format.h"

#include <utility>

#include "chat/formats/bare_json.h"
#include "chat/formats/gemma4.h"
#include "chat/formats/mistral.h"
#include "chat/formats/reasoning.h"
#include "chat/formats/scanner.h"
#include "chat/formats/tagged_calls.h"

namespace moraine::chat {
namespace {

std::unique_ptr<OutputParser> make_call_parser(const OutputFormat& format,
                                               std::shared_ptr<const ToolTypes> tools,
                                               const ParserOptions& options) {
  switch (format.calls) {
    case CallFormat::kQwenXml:
    case CallFormat::kHermes:
      return std::make_unique<TaggedCallsParser>(format, std::move(tools), options);
    case CallFormat::kLlama3:
    case CallFormat::kGenericJson:
      return std::make_unique<BareJsonParser>(format, std::move(tools), options);
    case CallFormat::kMistral:
      return std::make_unique<MistralParser>(format, std::move(tools), options);
    case CallFormat::kGemma4:
      return std::make_unique<Gemma4Parser>(format, std::move(tools), options);
    case CallFormat::kNone:
      break;
  }
  return std::make_unique<PlainTextParser>();
}

std::string_view trim_end(std::string_view text) {
  const size_t last = text.find_last_not_of(kWhiteSpace);
  return last == text.npos ? std::string_view() : text.substr(0, last + 1);
}

}  // namespace

const char* name_of(CallFormat format) {
  switch (format) {
    case CallFormat::kNone:
      return "none";
    case CallFormat::kQwenXml:
      return "qwen-xml";
    case CallFormat::kHermes:
      return "hermes";
    case CallFormat::kLlama3:
      return "llama3";
    case CallFormat::kMistral:
      return "mistral";
    case CallFormat::kGemma4:
      return "gemma4";
    case CallFormat::kGenericJson:
      return "json";
  }
  return "none";
}

std::unique_ptr<OutputParser> make_output_parser(const OutputFormat& format,
                                                 std::shared_ptr<const ToolTypes> tools,
                                                 const ParserOptions& options) {
  std::unique_ptr<OutputParser> parser;
  ReasoningParser::OpensCall opens_call;
  if (tools != nullptr && options.calls &&
      (format.calls == CallFormat::kQwenXml || format.calls == CallFormat::kHermes))
    opens_call = [tools](std::string_view text) { return TaggedCallsParser::opens_call(text, *tools); };
  if (options.calls)
    parser = make_call_parser(format, std::move(tools), options);
  else
    parser = std::make_unique<PlainTextParser>();
  if (format.reasoning_begin.empty()) return parser;
  return std::make_unique<ReasoningParser>(std::move(parser), format, options.reasoning,
                                           options.apart_reasoning, std::move(opens_call));
}

ReasoningStart reasoning_start(const OutputFormat& format, std::string_view prompt,
                               std::string_view continued) {
  if (format.reasoning_begin.empty()) return ReasoningStart::kClosed;
  const std::string_view end = trim_end(prompt);
  const bool open = end.ends_with(format.reasoning_begin);
  if (continued.empty()) {
    return open                                  ? ReasoningStart::kOpen
           : end.ends_with(format.reasoning_end) ? ReasoningStart::kClosed
                                                 : ReasoningStart::kUnknown;
  }
  // The beginning of an answer is given: it is what decides.
  if (continued.find(format.reasoning_end) != continued.npos) return ReasoningStart::kClosed;
  return open || skip_space(continued).starts_with(format.reasoning_begin) ? ReasoningStart::kOpen
                                                                           : ReasoningStart::kClosed;
}

void append(ParsedMessage& message, const MessageDelta& delta) {
  message.content += delta.content;
  message.reasoning += delta.reasoning;
  for (const ToolCallDelta& call : delta.tool_calls) {
    if (call.index >= message.tool_calls.size()) message.tool_calls.resize(call.index + 1);
    ToolCall& whole = message.tool_calls[call.index];
    whole.id += call.id;
    whole.name += call.name;
    whole.arguments += call.arguments;
  }
}

ParsedMessage parse_message(OutputParser& parser, std::string_view text, TextEnd end) {
  ParsedMessage message;
  append(message, parser.push(text));
  append(message, parser.finish(end));
  if (const std::string_view raw = parser.unfinished_call(); !raw.empty() && !message.tool_calls.empty()) {
    message.tool_calls.pop_back();
    message.content += raw;
  }
  return message;
}

}  // namespace moraine::chat
