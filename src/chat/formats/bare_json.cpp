#include "chat/formats/bare_json.h"

#include "chat/formats/coerce.h"
#include "chat/formats/json_text.h"
#include "chat/formats/scanner.h"

namespace moraine::chat {
namespace {

constexpr std::string_view kPythonTag = "<|python_tag|>", kFence = "```";
// Held back at most while an answer that is JSON may still be a call.
constexpr size_t kMaxHeld = 4 << 10;

// "```json" and a line end; `size`: its bytes.
Match opening_fence(std::string_view text, size_t& size) {
  if (const Match match = begins_with(text, kFence); match != Match::kYes) return match;
  const std::string_view info = text.substr(kFence.size(), 32);
  const size_t end = info.find('\n');
  const std::string_view word = info.substr(0, std::min(end, info.size()));
  bool possible = false;
  for (const std::string_view known : {"", "json", "tool_code", "tool_call", "tool_calls"}) {
    if (end != info.npos && word == known) {
      size = kFence.size() + end + 1;
      return Match::kYes;
    }
    possible |= known.starts_with(word);
  }
  return end == info.npos && possible ? Match::kPartial : Match::kNo;
}

// {"tool_calls": [ , however it is spaced.
Match opening_list(std::string_view text, size_t& size) {
  const size_t before = text.size();
  for (const std::string_view word : {"{", "\"tool_calls\"", ":", "["}) {
    text = skip_space(text);
    if (const Match match = begins_with(text, word); match != Match::kYes) return match;
    text.remove_prefix(word.size());
  }
  size = before - text.size();
  return Match::kYes;
}

// NAME.call(key=value, ...) as JSON arguments; false if it is something else.
bool read_python_call(std::string_view text, const ToolTypes* tools, MessageWriter& out) {
  constexpr std::string_view kCall = ".call(";
  const size_t dot = text.find(kCall);
  if (dot == text.npos || !is_name(text.substr(0, dot))) return false;
  const std::string_view name = text.substr(0, dot);
  const ToolParameters* types = tools == nullptr ? nullptr : tools->find(name);
  std::string json = "{";
  for (text = skip_space(text.substr(dot + kCall.size())); !text.starts_with(')'); text = skip_space(text)) {
    const size_t equals = text.find('=');
    if (equals == text.npos || !is_name(text.substr(0, equals))) return false;
    const std::string_view key = text.substr(0, equals);
    text = skip_space(text.substr(equals + 1));
    std::string value;
    RelaxedJson reader;
    if (reader.push(text, value, true) != RelaxedJson::Status::kDone) return false;
    if (json.size() > 1) json += ',';
    json += quoted(key) + ':' + coerce_value(value, types == nullptr ? uint8_t{kJsonAny} : types->type(key));
    text = skip_space(text);
    if (text.starts_with(',')) text.remove_prefix(1);
  }
  if (!skip_space(text.substr(1)).empty()) return false;
  out.begin_call(name);
  out.arguments(json + "}");
  out.end_call();
  return true;
}

}  // namespace

bool BareJsonParser::step() {
  switch (state_) {
    case State::kStart:
      return read_start();
    case State::kText:
      return read_text();
    case State::kOpen:
      return read_open();
    case State::kCall:
      return read_call();
    case State::kPython:
      return read_python();
    case State::kAfter:
      return read_after();
  }
  return false;
}

// Nothing but white space came yet: only here an object without a fence is a call.
bool BareJsonParser::read_start() {
  const std::string_view text = skip_space(rest());
  if (text.empty()) return false;
  opening_ = rest().size() - text.size();
  tagged_ = fenced_ = listed_ = false;
  const Match tag = llama_ ? begins_with(text, kPythonTag) : Match::kNo;
  if (tag == Match::kPartial && !at_end()) return false;
  if (tag == Match::kYes) {
    tagged_ = true;
    opening_ += kPythonTag.size();
  }
  const bool opens = tag == Match::kYes || text[0] == '{' || (text[0] == '[' && !llama_);
  if (opens) begin_call_text();
  state_ = opens ? State::kOpen : State::kText;
  return true;
}

// Up to a fence at the beginning of a line.
bool BareJsonParser::read_text() {
  const std::string_view text = rest();
  for (size_t at = 0; !llama_ && at < text.size(); ++at) {
    at = text.find('`', at);
    if (at == text.npos) break;
    if (at == 0 ? !line_start_ : text[at - 1] != '\n') continue;
    size_t size = 0;
    const Match match = opening_fence(text.substr(at), size);
    if (match == Match::kNo || (match == Match::kPartial && at_end())) continue;
    take_content(at);
    line_start_ = true;
    if (match == Match::kPartial) return false;
    tagged_ = listed_ = false;
    fenced_ = true;
    opening_ = size;
    begin_call_text();
    state_ = State::kOpen;
    return true;
  }
  if (!text.empty()) line_start_ = text.back() == '\n';
  take_content(text.size());
  return false;
}

bool BareJsonParser::reject() {
  begin_text();
  json_.reset();
  state_ = State::kText;
  const size_t n = std::max<size_t>(opening_, 1);
  line_start_ = rest().substr(0, n).ends_with('\n');
  take_content(n);
  return true;
}

bool BareJsonParser::read_open() {
  std::string_view inner = skip_space(rest().substr(opening_));
  if (!llama_ && !listed_ && !inner.empty()) {
    size_t size = inner.starts_with('[') ? 1 : 0;
    const Match list = size > 0 ? Match::kYes : opening_list(inner, size);
    if (list == Match::kPartial && !at_end()) return false;
    if (list == Match::kYes) {
      listed_ = true;
      inner = skip_space(inner.substr(size));
    }
  }
  if (inner.empty() && !at_end()) {
    listed_ = false;
    return false;
  }
  if (inner.starts_with('{')) {
    opening_ = rest().size() - inner.size();
    json_.emplace(tools(), !tagged_, kMaxHeld);
    state_ = State::kCall;
  } else if (tagged_) {
    state_ = State::kPython;
  } else {
    return reject();
  }
  return true;
}

bool BareJsonParser::read_call() {
  switch (read(*json_, opening_)) {
    case JsonCall::Status::kMore:
      return false;
    case JsonCall::Status::kNoCall:
      return reject();
    case JsonCall::Status::kDone:
    case JsonCall::Status::kBroken:
      begin_text();
      state_ = State::kAfter;
      return true;
  }
  return false;
}

// A built-in tool's call is read whole; the model's code for an interpreter is text.
bool BareJsonParser::read_python() {
  if (!at_end()) return false;
  if (!at_turn_end() || !read_python_call(skip_space(rest().substr(opening_)), tools(), writer_))
    return reject();
  begin_text();
  take(rest().size());
  return false;
}

// Behind a call: another one, or what closes a list or a fence.
bool BareJsonParser::read_after() {
  const std::string_view text = skip_space(rest());
  const size_t space = rest().size() - text.size();
  if (text.empty()) return false;
  const char c = text[0];
  if (c == ';' || c == ',' || (listed_ && (c == ']' || c == '}'))) {
    take(space + 1);
    return true;
  }
  const Match fence = fenced_ ? begins_with(text, kFence) : Match::kNo;
  if (fence == Match::kPartial && !at_end()) return false;
  if (fence == Match::kYes) {
    take(space + kFence.size());
    fenced_ = false;
    line_start_ = false;
    state_ = State::kText;
    return true;
  }
  if (c == '{') {
    opening_ = space;
    begin_call_text();
    json_.emplace(tools(), !tagged_, kMaxHeld);
    state_ = State::kCall;
    return true;
  }
  line_start_ = false;
  state_ = State::kText;
  return true;
}

}  // namespace moraine::chat
