#include "chat/formats/tagged_calls.h"

#include "chat/formats/scanner.h"

namespace moraine::chat {
namespace {

constexpr std::string_view kOpenTag = "<tool_call>", kCloseTag = "</tool_call>", kFunction = "<function=";

}  // namespace

Match TaggedCallsParser::opens_call(std::string_view text, const ToolTypes& tools) {
  if (const Match tag = begins_with(text, kOpenTag); tag != Match::kYes) return tag;
  const std::string_view inner = skip_space(text.substr(kOpenTag.size()));
  if (inner.empty()) return Match::kPartial;
  std::string_view name;
  if (const Match xml = XmlCall::begins(inner, name); xml != Match::kNo)
    return xml == Match::kYes && !tools.has(name) ? Match::kNo : xml;
  for (const std::string_view begin : {"{\"name\": \"", "{\"name\":\""}) {
    const Match json = begins_with(inner, begin);
    if (json == Match::kNo) continue;
    if (json == Match::kPartial) return json;
    const std::string_view behind = inner.substr(begin.size(), 129);
    const size_t end = behind.find('"');
    if (end == behind.npos) return behind.size() > 128 ? Match::kNo : Match::kPartial;
    return tools.has(behind.substr(0, end)) ? Match::kYes : Match::kNo;
  }
  return Match::kNo;
}

bool TaggedCallsParser::step() {
  switch (state_) {
    case State::kText:
      return read_text();
    case State::kOpen:
      return read_open();
    case State::kCall:
      return read_call();
    case State::kAfter:
      return read_after();
  }
  return false;
}

// Up to what may open a call.
bool TaggedCallsParser::read_text() {
  const std::string_view text = rest();
  for (size_t at = 0; at < text.size(); ++at) {
    at = text.find('<', at);
    if (at == text.npos) break;
    const bool line_start = at == 0 ? line_start_ : text[at - 1] == '\n';
    const std::string_view here = text.substr(at);
    Match match = begins_with(here, kOpenTag);
    std::string_view name;
    const Match bare = bare_ && line_start ? XmlCall::begins(here, name) : Match::kNo;
    if (bare == Match::kYes && tools() != nullptr && tools()->has(name)) match = Match::kYes;
    if (bare == Match::kPartial && match == Match::kNo) match = Match::kPartial;
    if (match == Match::kNo || (match == Match::kPartial && at_end())) continue;
    if (at > 0) line_start_ = line_start;
    take_content(at);
    if (match == Match::kPartial) return false;
    wrapped_ = here.starts_with(kOpenTag);
    opening_ = wrapped_ ? kOpenTag.size() : 0;
    begin_call_text();
    state_ = State::kOpen;
    return true;
  }
  if (!text.empty()) line_start_ = text.back() == '\n';
  take_content(text.size());
  return false;
}

// Behind the opening tag: what kind of call, if it is one.
bool TaggedCallsParser::read_open() {
  const std::string_view inner = skip_space(rest().substr(opening_));
  if (inner.empty() && !at_end()) return false;
  opening_ = rest().size() - inner.size();
  json_.reset();
  xml_.reset();
  if (inner.starts_with('{'))
    json_.emplace(tools(), !wrapped_);
  else if (begins_with(inner, kFunction) != Match::kNo && !inner.empty())
    xml_.emplace(tools(), !wrapped_);
  if (json_ || xml_) {
    state_ = State::kCall;
    return true;
  }
  // A tag that nothing like a call follows is text; behind a call it was its end that is missing.
  begin_text();
  state_ = State::kText;
  line_start_ = false;
  take_content(std::min(rest().size(), kOpenTag.size()));
  return true;
}

bool TaggedCallsParser::read_call() {
  switch (json_ ? read(*json_, opening_) : read(*xml_, opening_)) {
    case JsonCall::Status::kMore:
      return false;
    case JsonCall::Status::kNoCall:
      begin_text();
      state_ = State::kText;
      line_start_ = false;
      take_content(std::max<size_t>(opening_, 1));  // beyond what made us think of a call
      return true;
    case JsonCall::Status::kDone:
    case JsonCall::Status::kBroken:
      break;
  }
  begin_text();
  line_start_ = true;
  state_ = State::kAfter;
  return true;
}

// Behind a call: its closing tag, or another call within the same tags.
bool TaggedCallsParser::read_after() {
  const std::string_view text = skip_space(rest());
  const size_t space = rest().size() - text.size();
  const Match close = begins_with(text, kCloseTag), function = begins_with(text, kFunction);
  if (close == Match::kPartial && !at_end()) return false;
  if (close == Match::kYes) {
    take(space + kCloseTag.size());
    state_ = State::kText;
    line_start_ = true;
    return true;
  }
  if (wrapped_ && (text.starts_with('{') || function == Match::kYes)) {
    opening_ = space;
    begin_call_text();
    state_ = State::kOpen;
    return true;
  }
  if (wrapped_ && function == Match::kPartial && !at_end()) return false;
  state_ = State::kText;
  return true;
}

}  // namespace moraine::chat
