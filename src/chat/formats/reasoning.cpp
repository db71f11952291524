#include "chat/formats/reasoning.h"

#include <iterator>
#include <utility>

namespace moraine::chat {

ReasoningParser::ReasoningParser(std::unique_ptr<OutputParser> inner, const OutputFormat& format,
                                 ReasoningStart start, bool apart, OpensCall opens_call)
    : inner_(std::move(inner)),
      begin_(format.reasoning_begin),
      end_(format.reasoning_end),
      apart_(apart),
      opens_call_(std::move(opens_call)),
      state_(start == ReasoningStart::kOpen      ? State::kReasoning
             : start == ReasoningStart::kUnknown ? State::kUndecided
                                                 : State::kContent) {}

MessageDelta ReasoningParser::push(std::string_view text) {
  MessageDelta delta;
  text_ += text;
  step(delta, false);
  return delta;
}

MessageDelta ReasoningParser::finish(TextEnd end) {
  MessageDelta delta;
  step(delta, true);
  MessageDelta rest = inner_->finish(end);
  delta.content += rest.content;
  std::move(rest.tool_calls.begin(), rest.tool_calls.end(), std::back_inserter(delta.tool_calls));
  return delta;
}

void ReasoningParser::step(MessageDelta& delta, bool at_end) {
  for (;;) {
    switch (state_) {
      case State::kUndecided:
        if (!read_start(delta, at_end)) return;
        break;
      case State::kReasoning:
        if (!read_reasoning(delta, at_end)) return;
        break;
      case State::kAfter: {  // white space behind the closing tag
        const std::string_view rest = skip_space(text_);
        text_.erase(0, text_.size() - rest.size());
        if (text_.empty()) return;
        state_ = State::kContent;
        break;
      }
      case State::kContent:
        forward(delta, std::exchange(text_, {}));
        return;
    }
  }
}

// Before anything but white space came. False: more is needed.
bool ReasoningParser::read_start(MessageDelta& delta, bool at_end) {
  const std::string_view rest = skip_space(text_);
  const Match opens = begins_with(rest, begin_), closes = begins_with(rest, end_);
  if (opens == Match::kYes) {
    if (!apart_) delta.content += begin_;
    text_.erase(0, text_.size() - rest.size() + begin_.size());
    state_ = State::kReasoning;
  } else if (closes == Match::kYes) {  // of reasoning that was none
    if (!apart_) delta.content += end_;
    text_.erase(0, text_.size() - rest.size() + end_.size());
    state_ = apart_ ? State::kAfter : State::kContent;
  } else if (at_end || (opens == Match::kNo && closes == Match::kNo)) {
    state_ = State::kContent;
  } else {
    return false;
  }
  return true;
}

bool ReasoningParser::read_reasoning(MessageDelta& delta, bool at_end) {
  const std::string_view text = text_;
  // The first place that could end the reasoning: its tag, or a call at the beginning of a line.
  size_t at = 0;
  for (;; ++at) {
    at = text.find_first_of(opens_call_ ? std::string{end_[0], '\n'} : std::string{end_[0]}, at);
    if (at == text.npos) break;
    const std::string_view here = text.substr(at);
    const Match closes = begins_with(here, end_);
    if (closes == Match::kYes) {
      reason(delta, text.substr(0, at));
      if (!apart_) delta.content += held_ + end_;
      held_.clear();
      text_.erase(0, at + end_.size());
      state_ = apart_ ? State::kAfter : State::kContent;
      return true;
    }
    if (closes == Match::kPartial && !at_end) break;
    const bool line_end = here[0] == '\n';
    if (!opens_call_ || !(line_end || (at == 0 && !reasoned_))) continue;
    const Match call = opens_call_(here.substr(line_end ? 1 : 0));
    if (call == Match::kYes) {
      reason(delta, text.substr(0, at));
      held_.clear();
      text_.erase(0, at + (line_end ? 1 : 0));
      state_ = State::kContent;
      return true;
    }
    if (call == Match::kPartial && !at_end) break;
  }
  reason(delta, text.substr(0, at));
  text_.erase(0, at == text.npos ? text_.size() : at);
  return false;
}

void ReasoningParser::reason(MessageDelta& delta, std::string_view text) {
  if (!apart_) {
    delta.content += text;
    return;
  }
  if (!reasoned_) text = skip_space(text);
  const size_t last = text.find_last_not_of(kWhiteSpace);
  if (last == text.npos) {
    held_ += text;
    return;
  }
  delta.reasoning += std::exchange(held_, std::string(text.substr(last + 1)));
  delta.reasoning += text.substr(0, last + 1);
  reasoned_ = true;
}

void ReasoningParser::forward(MessageDelta& delta, std::string_view text) {
  MessageDelta rest = inner_->push(text);
  delta.content += rest.content;
  std::move(rest.tool_calls.begin(), rest.tool_calls.end(), std::back_inserter(delta.tool_calls));
}

}  // namespace moraine::chat
