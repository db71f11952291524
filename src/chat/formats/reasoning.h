// Reasoning apart from the rest: reads what stands between the tags of a model's reasoning and hands all
// else to the parser of its calls. Which tags: OutputFormat; how an answer begins: ReasoningStart.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "chat/formats/scanner.h"
#include "chat/output_format.h"

namespace moraine::chat {

class ReasoningParser final : public OutputParser {
 public:
  // Whether a call begins with this text: some models forget to end their reasoning before they call.
  // Asked at the beginnings of lines; kPartial waits for more. May be empty.
  using OpensCall = std::function<Match(std::string_view)>;

  // `apart`: false leaves reasoning and its tags in the content.
  ReasoningParser(std::unique_ptr<OutputParser> inner, const OutputFormat& format, ReasoningStart start,
                  bool apart, OpensCall opens_call);

  MessageDelta push(std::string_view text) override;
  MessageDelta finish(TextEnd end) override;
  std::string_view unfinished_call() const override { return inner_->unfinished_call(); }

 private:
  enum class State : uint8_t { kUndecided, kReasoning, kAfter, kContent };
  void step(MessageDelta& delta, bool at_end);
  bool read_start(MessageDelta& delta, bool at_end);
  bool read_reasoning(MessageDelta& delta, bool at_end);
  void reason(MessageDelta& delta, std::string_view text);
  void forward(MessageDelta& delta, std::string_view text);

  const std::unique_ptr<OutputParser> inner_;
  const std::string begin_, end_;
  const bool apart_;
  const OpensCall opens_call_;
  State state_;
  std::string text_;  // not read yet
  std::string held_;  // white space of the reasoning that nothing followed yet
  bool reasoned_ = false;
};

}  // namespace moraine::chat
