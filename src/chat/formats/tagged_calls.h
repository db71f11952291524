// Calls between <tool_call> and </tool_call>: JSON objects as Hermes, Qwen 2.5 and 3 and Granite 4 write them
// (json_call.h), or Qwen3-Coder's XML (xml_call.h). What stands within decides, not the model: fine-tunes mix
// them. Closing tags may be missing; with XML, opening ones too.
#pragma once

#include <optional>

#include "chat/formats/call_parser.h"
#include "chat/formats/xml_call.h"

namespace moraine::chat {

class TaggedCallsParser final : public CallParser {
 public:
  TaggedCallsParser(const OutputFormat& format, std::shared_ptr<const ToolTypes> tools,
                    const ParserOptions& options)
      : CallParser(format, std::move(tools), options), bare_(format.calls == CallFormat::kQwenXml) {}

  // Whether a call of a known tool begins with this text: for reasoning that was not closed.
  static Match opens_call(std::string_view text, const ToolTypes& tools);

 protected:
  bool step() override;

 private:
  enum class State : uint8_t { kText, kOpen, kCall, kAfter };
  bool read_text();
  bool read_open();
  bool read_call();
  bool read_after();

  const bool bare_;  // <function= without <tool_call> is a call
  State state_ = State::kText;
  bool line_start_ = true;
  size_t opening_ = 0;  // bytes of rest() before the call itself: the tag and white space
  bool wrapped_ = false;
  std::optional<JsonCall> json_;
  std::optional<XmlCall> xml_;
};

}  // namespace moraine::chat
