#include "chat/formats/gemma4.h"

#include "chat/formats/scanner.h"

namespace moraine::chat {
namespace {

constexpr std::string_view kOpenTag = "<|tool_call>", kCloseTag = "<tool_call|>", kCall = "call:";
constexpr size_t kMaxName = 160;

}  // namespace

bool Gemma4Parser::step() {
  switch (state_) {
    case State::kText:
      return read_text();
    case State::kOpen:
      return read_open();
    case State::kArguments:
      return read_arguments();
    case State::kAfter:
      return read_after();
  }
  return false;
}

bool Gemma4Parser::read_text() {
  const size_t at = rest().find(kOpenTag);
  if (at == rest().npos) {
    take_content(rest().size() - (at_end() ? 0 : partial_suffix(rest(), kOpenTag)));
    return false;
  }
  take_content(at);
  begin_call_text();
  state_ = State::kOpen;
  return true;
}

bool Gemma4Parser::read_open() {
  const std::string_view inner = skip_space(rest().substr(kOpenTag.size()));
  Match match = inner.empty() ? Match::kPartial : begins_with(inner, kCall);
  std::string_view name;
  if (match == Match::kYes) {
    const std::string_view head = inner.substr(kCall.size(), kMaxName);
    const size_t brace = head.find('{');
    name = head.substr(0, std::min(brace, head.size()));
    const bool valid = name.empty() ? brace == head.npos : is_name(name);
    if (!valid)
      match = Match::kNo;
    else if (brace == head.npos)
      match = head.size() < kMaxName ? Match::kPartial : Match::kNo;
  }
  if (match == Match::kPartial && !at_end()) return false;
  if (match != Match::kYes) {
    begin_text();
    state_ = State::kText;
    take_content(std::min(rest().size(), kOpenTag.size()));
    return true;
  }
  writer_.begin_call(name);
  arguments_ = std::make_unique<ArgumentsReader>(tools() == nullptr ? nullptr : tools()->find(name),
                                                 RelaxedJson::Style::kGemma);
  take(static_cast<size_t>(name.data() + name.size() - rest().data()));
  state_ = State::kArguments;
  return true;
}

bool Gemma4Parser::read_arguments() {
  std::string_view in = rest();
  std::string json;
  const ArgumentsReader::Status status = arguments_->push(in, json, at_turn_end());
  take(rest().size() - in.size());
  const bool close = status == ArgumentsReader::Status::kMore && at_turn_end() && arguments_->closable();
  if (status == ArgumentsReader::Status::kFailed || close) json += arguments_->closing();
  writer_.arguments(json);
  if (status == ArgumentsReader::Status::kMore && !close) return false;
  writer_.end_call();
  begin_text();
  state_ = State::kAfter;
  return true;
}

bool Gemma4Parser::read_after() {
  const std::string_view text = skip_space(rest());
  const Match close = text.empty() ? Match::kPartial : begins_with(text, kCloseTag);
  if (close == Match::kPartial && !at_end()) return false;
  if (close == Match::kYes) take(rest().size() - text.size() + kCloseTag.size());
  state_ = State::kText;
  return true;
}

}  // namespace moraine::chat
