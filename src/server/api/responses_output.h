// The items of a response as they grow, and the events that tell of it. Knows no response object around them:
// that is responses_protocol.cpp.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "chat/output_parser.h"
#include "server/api/json.h"
#include "server/api/responses_tools.h"

namespace moraine::server {

class ResponsesOutput {
 public:
  struct Options {
    ResponsesTools tools;
    bool summaries = false;
    bool encrypted_content = false;
  };
  // `emit` gets each event, which still lacks its sequence_number.
  using Emit = std::function<void(Json event)>;

  explicit ResponsesOutput(Options options) : options_(std::move(options)) {}

  void add(const chat::MessageDelta& delta, const Emit& emit);
  // The text has ended. `complete`: not cut by a limit.
  void finish(bool complete, const Emit& emit);

  const Json& items() const { return items_; }                 // the finished ones
  const std::string& reasoning() const { return reasoning_; }  // all of it

 private:
  enum class Kind : uint8_t { kNone, kReasoning, kMessage, kFunctionCall, kCustomCall };

  void open(Kind kind, Json item, const Emit& emit);
  void open_text(Kind kind, const Emit& emit);
  void open_call(const chat::ToolCallDelta& call, const Emit& emit);
  void add_text(const std::string& text, const char* event, const Emit& emit);
  void close(bool complete, const Emit& emit);
  void close_message(const Emit& emit);
  void close_reasoning(const Emit& emit);
  void close_call(const Emit& emit);
  Json about_item(const char* type) const;  // an event that names the open item
  Json about_part(const char* type) const;  // and its one part

  const Options options_;
  Json items_ = Json::array();
  Kind kind_ = Kind::kNone;  // of the item that is open
  Json item_;
  std::string text_;  // of the open item, all so far
  std::string reasoning_;
};

}  // namespace moraine::server
