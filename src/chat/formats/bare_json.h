// Calls as JSON with no tags of their own. Llama 3 writes {"name": ..., "parameters": {...}} as its whole
// answer, several parted by ';' or a line end, or <|python_tag|>NAME.call(key="value"). Models that know no
// format write such an object, an array of them, {"tool_calls": [...]}, or any of these in a fence (```json).
// Only names of known tools make a call: all else is an answer that happens to be JSON.
#pragma once

#include <optional>

#include "chat/formats/call_parser.h"

namespace moraine::chat {

class BareJsonParser final : public CallParser {
 public:
  BareJsonParser(const OutputFormat& format, std::shared_ptr<const ToolTypes> tools,
                 const ParserOptions& options)
      : CallParser(format, std::move(tools), options), llama_(format.calls == CallFormat::kLlama3) {}

 protected:
  bool step() override;

 private:
  enum class State : uint8_t { kStart, kText, kOpen, kCall, kPython, kAfter };
  bool read_start();
  bool read_text();
  bool read_open();
  bool read_call();
  bool read_python();
  bool read_after();
  bool reject();

  const bool llama_;  // else the generic format, with fences and lists
  State state_ = State::kStart;
  size_t opening_ = 0;  // bytes of rest() before the object
  bool tagged_ = false, fenced_ = false, listed_ = false, line_start_ = true;
  std::optional<JsonCall> json_;
};

}  // namespace moraine::chat
