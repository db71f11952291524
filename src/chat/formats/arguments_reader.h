// The arguments of a call where they are an object: read in pieces, written at once as strict JSON, each
// value of a type its tool takes. What a value may look like is relaxed_json.h.
#pragma once

#include <string>
#include <string_view>

#include "chat/formats/relaxed_json.h"
#include "chat/tool_types.h"

namespace moraine::chat {

class ArgumentsReader {
 public:
  using Status = RelaxedJson::Status;
  // `types` may be null (any type); it must outlive the reader.
  explicit ArgumentsReader(const ToolParameters* types, RelaxedJson::Style style = RelaxedJson::Style::kJson)
      : types_(types), style_(style), value_(style) {}

  // As RelaxedJson::push(). Begins at the opening brace.
  Status push(std::string_view& in, std::string& out, bool at_end = false);
  // What makes valid JSON of what was written.
  std::string closing() const;
  // Whether nothing but brackets is missing.
  bool closable() const {
    return state_ == State::kAfter || (state_ == State::kValue && !buffering_ && value_.closable());
  }

 private:
  enum class State : uint8_t { kOpen, kKey, kColon, kBegin, kValue, kAfter, kDone };
  Status read_key(std::string_view& in, std::string& out, bool at_end);
  Status read_value(std::string_view& in, std::string& out, bool at_end);
  bool streams(char first) const;

  const ToolParameters* const types_;
  const RelaxedJson::Style style_;
  State state_ = State::kOpen;
  std::string key_;       // as JSON, while it is read; "" between keys
  RelaxedJson value_;     // reads keys too
  std::string buffered_;  // a value that must be whole before its type can be mended
  uint8_t value_types_ = kJsonAny;
  bool first_ = true, buffering_ = false;
};

}  // namespace moraine::chat
