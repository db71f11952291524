// The seam between a model's text and a message: what of it is content, reasoning or a tool call, told
// as the text arrives. One parser for each generation; families of models implement it in formats/.
// Knows no JSON of any API; the endpoints (src/server/api) turn deltas into their events.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace moraine::chat {

// A step of one tool call. The first delta of a call has its id and name; later ones add to `arguments`,
// whose pieces together are one JSON object.
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

class OutputParser {
 public:
  virtual ~OutputParser() = default;
  // Whole UTF-8 characters in; what is certain out. Never throws for what a model may write: text that
  // only looked like a call comes out as content.
  virtual MessageDelta push(std::string_view text) = 0;
  virtual MessageDelta finish() = 0;  // nothing follows
};

// All text is content.
class PlainTextParser final : public OutputParser {
 public:
  MessageDelta push(std::string_view text) override { return {.content = std::string(text)}; }
  MessageDelta finish() override { return {}; }
};

}  // namespace moraine::chat
