// Gemma 4's calls: <|tool_call>call:NAME{key:<|"|>raw text<|"|>,other:[1,2]}<tool_call|>, one after the
// other. Keys are bare and strings raw between their quotes; JSON's own strings are taken too.
#pragma once

#include <memory>

#include "chat/formats/arguments_reader.h"
#include "chat/formats/call_parser.h"

namespace moraine::chat {

class Gemma4Parser final : public CallParser {
 public:
  using CallParser::CallParser;

 protected:
  bool step() override;

 private:
  enum class State : uint8_t { kText, kOpen, kArguments, kAfter };
  bool read_text();
  bool read_open();
  bool read_arguments();
  bool read_after();

  State state_ = State::kText;
  std::unique_ptr<ArgumentsReader> arguments_;
};

}  // namespace moraine::chat
