// A call as Qwen3-Coder writes it, read in pieces:
//   <function=NAME> (<parameter=KEY> NL VALUE NL </parameter>)* </function>
// VALUE is raw text. One line end is taken off each of its ends; all else stays as it is, so that files that
// quote such calls survive: </parameter> ends a value only where what must follow it does.
#pragma once

#include <set>
#include <string>
#include <string_view>

#include "chat/formats/json_call.h"
#include "chat/formats/message_writer.h"
#include "chat/formats/scanner.h"

namespace moraine::chat {

class XmlCall {
 public:
  using Status = JsonCall::Status;
  // As JsonCall.
  XmlCall(const ToolTypes* tools, bool known_only) : tools_(tools), known_only_(known_only) {}

  // Begins at "<function=". `at_turn_end`: the text is over and was not cut.
  Status push(std::string_view& in, MessageWriter& out, bool at_turn_end);
  bool begun() const { return phase_ != Phase::kName; }

  // Whether a call begins with this text. `name` is set with kYes.
  static Match begins(std::string_view text, std::string_view& name);

 private:
  enum class Phase : uint8_t { kName, kBetween, kValue };
  struct End;  // of a value
  bool read_between(std::string_view& in, MessageWriter& out, bool at_turn_end, Status& status);
  bool read_value(std::string_view& in, MessageWriter& out, bool at_turn_end);
  End value_end(std::string_view text, bool at_turn_end) const;
  void begin_value(MessageWriter& out, std::string_view key);
  void add_value(MessageWriter& out, std::string_view text);
  void end_value(MessageWriter& out);

  const ToolTypes* const tools_;
  const bool known_only_;
  Phase phase_ = Phase::kName;
  const ToolParameters* parameters_ = nullptr;
  std::set<std::string, std::less<>> keys_;  // seen
  uint8_t types_ = 0;                        // of the value being read
  bool at_value_start_ = false, streaming_ = false, ignored_ = false;
  std::string buffered_;  // a value whose type its end decides
};

}  // namespace moraine::chat
