#include "chat/formats/mistral.h"

#include "chat/formats/scanner.h"

namespace moraine::chat {
namespace {

constexpr std::string_view kMarker = "[TOOL_CALLS]", kCallId = "[CALL_ID]", kArgs = "[ARGS]";
constexpr size_t kMaxHead = 512;  // of a name and an id

// NAME[CALL_ID]ID[ARGS] up to the brace of the arguments.
struct Head {
  std::string_view name, id;
  size_t size = 0;
};

Match read_head(std::string_view text, Head& head) {
  const std::string_view all = text.substr(0, kMaxHead);
  const Match partial = text.size() < kMaxHead ? Match::kPartial : Match::kNo;
  const size_t brace = all.find('{');
  std::string_view before = all.substr(0, std::min(brace, all.size()));
  const size_t name_end = before.find_first_of("[ \t\r\n");
  if (!is_name(before.substr(0, std::min(name_end, before.size()))))
    return before.empty() ? partial : Match::kNo;
  if (brace == all.npos) {
    // Text behind the marker would otherwise be held to the limit.
    const std::string_view behind =
        name_end == before.npos ? std::string_view() : skip_space(before.substr(name_end));
    if (!behind.empty() && begins_with(behind, kCallId) == Match::kNo &&
        begins_with(behind, kArgs) == Match::kNo)
      return Match::kNo;
    return partial;
  }
  head.name = before.substr(0, name_end);
  head.size = brace;
  before = name_end == before.npos ? std::string_view() : skip_space(before.substr(name_end));
  if (before.starts_with(kCallId)) {
    before = skip_space(before.substr(kCallId.size()));
    head.id = before.substr(0, before.find_first_of("[ \t\r\n"));
    before = skip_space(before.substr(head.id.size()));
  }
  if (before.starts_with(kArgs)) before = skip_space(before.substr(kArgs.size()));
  return before.empty() ? Match::kYes : Match::kNo;
}

}  // namespace

bool MistralParser::step() {
  switch (state_) {
    case State::kText:
      return read_text();
    case State::kOpen:
      return read_open();
    case State::kNamed:
      return read_named();
    case State::kArguments:
      return read_arguments();
    case State::kElement:
      return read_element();
    case State::kBetween:
      return read_between();
  }
  return false;
}

bool MistralParser::read_text() {
  const size_t at = rest().find(kMarker);
  if (at == rest().npos) {
    take_content(rest().size() - (at_end() ? 0 : partial_suffix(rest(), kMarker)));
    return false;
  }
  take_content(at);
  begin_call_text();
  state_ = State::kOpen;
  return true;
}

bool MistralParser::read_open() {
  const std::string_view inner = skip_space(rest().substr(kMarker.size()));
  if (inner.empty()) return at_end() ? reject() : false;
  opening_ = rest().size() - inner.size();
  if (inner[0] == '[' || inner[0] == '{') {
    if (inner[0] == '[') {
      const std::string_view element = skip_space(inner.substr(1));
      if (element.empty()) return at_end() ? reject() : false;
      opening_ = rest().size() - element.size();
    }
    json_.emplace(tools(), false);
    state_ = State::kElement;
  } else {
    state_ = State::kNamed;
  }
  return true;
}

bool MistralParser::reject() {
  begin_text();
  state_ = State::kText;
  take_content(std::min(rest().size(), kMarker.size()));
  return true;
}

bool MistralParser::read_named() {
  Head head;
  const Match match = read_head(rest().substr(opening_), head);
  if (match == Match::kPartial && !at_end()) return false;
  if (match != Match::kYes) return reject();
  writer_.begin_call(head.name, head.id);
  arguments_ = std::make_unique<ArgumentsReader>(tools() == nullptr ? nullptr : tools()->find(head.name));
  take(opening_ + head.size);
  state_ = State::kArguments;
  return true;
}

bool MistralParser::read_arguments() {
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
  state_ = State::kText;
  return true;
}

bool MistralParser::read_element() {
  switch (read(*json_, opening_)) {
    case JsonCall::Status::kMore:
      return false;
    case JsonCall::Status::kNoCall:
      return reject();
    case JsonCall::Status::kDone:
    case JsonCall::Status::kBroken:
      begin_text();
      state_ = State::kBetween;
      return true;
  }
  return false;
}

// Within the list, behind a call.
bool MistralParser::read_between() {
  const std::string_view text = skip_space(rest());
  if (text.empty()) return false;
  const size_t space = rest().size() - text.size();
  if (text[0] == ',') {
    take(space + 1);
  } else if (text[0] == '{') {
    opening_ = space;
    begin_call_text();
    json_.emplace(tools(), false);
    state_ = State::kElement;
  } else {
    if (text[0] == ']') take(space + 1);
    state_ = State::kText;
  }
  return true;
}

}  // namespace moraine::chat
