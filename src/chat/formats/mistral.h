// Mistral's calls. Until 2024 one list behind the marker (Nemo, Small 2409), since then a name and its
// arguments each time (Small 3.2, Devstral, Ministral 3):
//   [TOOL_CALLS] [{"name": NAME, "arguments": {...}, "id": ID}, ...]
//   [TOOL_CALLS]NAME[CALL_ID]ID[ARGS]{...}   (the id may be missing)
#pragma once

#include <memory>
#include <optional>

#include "chat/formats/arguments_reader.h"
#include "chat/formats/call_parser.h"

namespace moraine::chat {

class MistralParser final : public CallParser {
 public:
  using CallParser::CallParser;

 protected:
  bool step() override;

 private:
  enum class State : uint8_t { kText, kOpen, kNamed, kArguments, kElement, kBetween };
  bool read_text();
  bool read_open();
  bool read_named();
  bool read_arguments();
  bool read_element();
  bool read_between();
  bool reject();

  State state_ = State::kText;
  size_t opening_ = 0;  // bytes of rest() before the call
  std::optional<JsonCall> json_;
  std::unique_ptr<ArgumentsReader> arguments_;
};

}  // namespace moraine::chat
