// What the parsers of this folder share: the text that is not read yet, the raw text of the call being read,
// and how an end is told. A format implements step().
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "chat/formats/json_call.h"
#include "chat/formats/message_writer.h"
#include "chat/output_format.h"

namespace moraine::chat {

class CallParser : public OutputParser {
 public:
  CallParser(const OutputFormat& format, std::shared_ptr<const ToolTypes> tools, const ParserOptions& options)
      : writer_(options, format.short_call_ids), tools_(std::move(tools)) {}

  MessageDelta push(std::string_view text) final;
  MessageDelta finish(TextEnd end) final;
  std::string_view unfinished_call() const final { return unfinished_; }

 protected:
  // Reads what it can of rest(). False: nothing more can be read before there is more text.
  virtual bool step() = 0;

  std::string_view rest() const { return std::string_view(text_).substr(read_); }
  void take(size_t n);          // n bytes of rest() are read
  void take_content(size_t n);  // and are content
  // From here on, what is taken belongs to a call, until begin_text().
  void begin_call_text() { raw_.clear(), in_call_text_ = true; }
  void begin_text() { in_call_text_ = false; }

  // Lets `call` (JsonCall, XmlCall) read from behind `opening` bytes of rest(); what it read is taken, and
  // the opening with it, once it is certain that this is a call.
  template <typename Call>
  JsonCall::Status read(Call& call, size_t opening) {
    const bool begun = call.begun();
    std::string_view in = rest().substr(begun ? 0 : opening);
    const size_t before = in.size();
    const JsonCall::Status status = call.push(in, writer_, at_turn_end());
    if (status != JsonCall::Status::kNoCall && (status != JsonCall::Status::kMore || call.begun()))
      take(before - in.size() + (begun ? 0 : opening));
    return status;
  }

  // Nothing follows rest().
  bool at_end() const { return ended_; }
  // Nothing follows, and the model meant it: what is open may be closed.
  bool at_turn_end() const { return ended_ && end_ == TextEnd::kComplete; }
  const ToolTypes* tools() const { return tools_.get(); }

  MessageWriter writer_;

 private:
  const std::shared_ptr<const ToolTypes> tools_;
  std::string text_, raw_, unfinished_;
  size_t read_ = 0;  // bytes of text_
  bool in_call_text_ = false, ended_ = false;
  TextEnd end_ = TextEnd::kComplete;
};

}  // namespace moraine::chat
