// The seam between a model's text and a message: what of it is content, reasoning or a tool call, told
// as the text arrives. One parser for each generation, made by make_output_parser() (output_format.h);
// the formats that families of models write are in formats/. Knows no JSON of any API: the endpoints
// (src/server/api) turn deltas into their events.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace moraine::chat {

// A step of one tool call. The first delta of a call has its id and name and no arguments; later ones add
// to `arguments`, whose pieces together are one JSON object.
struct ToolCallDelta {
  uint32_t index = 0;  // of the call within the message
  std::string id;
  std::string name;
  std::string arguments;
};

struct MessageDelta {
  std::string content;
  std::string reasoning;
  std::vector<ToolCallDelta> tool_calls;
  bool empty() const { return content.empty() && reasoning.empty() && tool_calls.empty(); }
};

// How the text ended: the model ended its turn, or it was stopped (limit, stop string) and may be half of
// something.
enum class TextEnd : uint8_t { kComplete, kCut };

class OutputParser {
 public:
  virtual ~OutputParser() = default;
  // Whole UTF-8 characters in; what is certain out. However a text is cut into pieces, what comes out adds
  // up to the same message. Never throws for what a model may write: text that only looked like a call
  // comes out as content.
  virtual MessageDelta push(std::string_view text) = 0;
  // Nothing follows. A call that was cut stays as it is: closed by us, half a file would be written.
  virtual MessageDelta finish(TextEnd end) = 0;
  // After finish(kCut): the raw text of the last call if it was begun and is not whole; else empty.
  virtual std::string_view unfinished_call() const { return {}; }
};

// All text is content.
class PlainTextParser final : public OutputParser {
 public:
  MessageDelta push(std::string_view text) override { return {.content = std::string(text)}; }
  MessageDelta finish(TextEnd) override { return {}; }
};

struct ToolCall {
  std::string id, name;
  std::string arguments;  // a JSON object
};

// What deltas add up to.
struct ParsedMessage {
  std::string content;
  std::string reasoning;
  std::vector<ToolCall> tool_calls;
};

void append(ParsedMessage& message, const MessageDelta& delta);

// A whole answer at once. A call that was cut is no call: its raw text is content.
ParsedMessage parse_message(OutputParser& parser, std::string_view text, TextEnd end);

}  // namespace moraine::chat
