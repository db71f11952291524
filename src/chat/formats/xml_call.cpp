#include "chat/formats/xml_call.h"

#include "chat/formats/coerce.h"
#include "chat/formats/json_text.h"
#include "chat/formats/scanner.h"

namespace moraine::chat {
namespace {

constexpr std::string_view kFunction = "<function=", kFunctionEnd = "</function>";
constexpr std::string_view kParameter = "<parameter=", kParameterEnd = "</parameter>";
constexpr std::string_view kToolCall = "<tool_call>", kToolCallEnd = "</tool_call>";
constexpr size_t kMaxKey = 256;

// "<word NAME>": kYes sets `name` and `size`, the bytes of the whole tag.
Match read_tag(std::string_view text, std::string_view word, std::string_view& name, size_t& size) {
  const Match match = begins_with(text, word);
  if (match != Match::kYes) return match;
  const std::string_view inner = text.substr(word.size(), kMaxKey + 1);
  const size_t end = inner.find_first_of("><\n");
  if (end == inner.npos) return inner.size() > kMaxKey ? Match::kNo : Match::kPartial;
  if (inner[end] != '>' || end == 0) return Match::kNo;
  name = inner.substr(0, end);
  size = word.size() + end + 1;
  return Match::kYes;
}

Match begins_with_any(std::string_view text, std::initializer_list<std::string_view> words) {
  Match best = Match::kNo;
  for (const std::string_view word : words) {
    const Match match = begins_with(text, word);
    if (match == Match::kYes) return match;
    if (match == Match::kPartial) best = match;
  }
  return best;
}

}  // namespace

// Whether a value ends here; kYes: `size` bytes are to be taken.
struct XmlCall::End {
  Match match = Match::kNo;
  size_t size = 0;
};

Match XmlCall::begins(std::string_view text, std::string_view& name) {
  size_t size = 0;
  const Match match = read_tag(text, kFunction, name, size);
  return match == Match::kYes && !is_name(name) ? Match::kNo : match;
}

XmlCall::Status XmlCall::push(std::string_view& in, MessageWriter& out, bool at_turn_end) {
  if (phase_ == Phase::kName) {
    std::string_view name;
    size_t size = 0;
    const Match match = read_tag(in, kFunction, name, size);
    if (match == Match::kPartial) return Status::kMore;
    if (match == Match::kNo || !is_name(name) || (known_only_ && (tools_ == nullptr || !tools_->has(name))))
      return Status::kNoCall;
    parameters_ = tools_ == nullptr ? nullptr : tools_->find(name);
    out.begin_call(name);
    out.arguments("{");
    in.remove_prefix(size);
    phase_ = Phase::kBetween;
  }
  Status status = Status::kMore;
  for (bool going = true; going && status == Status::kMore;)
    going = phase_ == Phase::kBetween ? read_between(in, out, at_turn_end, status)
                                      : read_value(in, out, at_turn_end);
  if (status != Status::kMore) {
    out.arguments("}");
    out.end_call();
  }
  return status;
}

// Between parameters. False: more is needed, or `status` says that the call is over.
bool XmlCall::read_between(std::string_view& in, MessageWriter& out, bool at_turn_end, Status& status) {
  in = skip_space(in);
  std::string_view key;
  size_t size = 0;
  const Match parameter = read_tag(in, kParameter, key, size);
  if (parameter == Match::kYes) {
    begin_value(out, key);
    in.remove_prefix(size);
    return true;
  }
  if (in.starts_with(kFunctionEnd)) {
    in.remove_prefix(kFunctionEnd.size());
    status = Status::kDone;
    return false;
  }
  if (in.starts_with(kParameterEnd)) {  // one too many
    in.remove_prefix(kParameterEnd.size());
    return true;
  }
  const Match over = begins_with_any(in, {kToolCallEnd, kToolCall, kFunction});
  const Match more = begins_with_any(in, {kFunctionEnd, kParameterEnd});
  if (over == Match::kYes || (in.empty() && at_turn_end))
    status = Status::kDone;  // </function> was forgotten
  else if (parameter == Match::kNo && over == Match::kNo && more == Match::kNo)
    status = Status::kBroken;
  else if (at_turn_end)
    status = Status::kBroken;
  return false;
}

void XmlCall::begin_value(MessageWriter& out, std::string_view key) {
  types_ = parameters_ == nullptr ? uint8_t{kJsonAny} : parameters_->type(key);
  streaming_ = false;
  at_value_start_ = true;
  buffered_.clear();
  const bool first = keys_.empty();
  ignored_ = !keys_.emplace(key).second;  // of repeated ones the first counts
  if (!ignored_) out.arguments((first ? "" : ",") + quoted(key) + ":");
  phase_ = Phase::kValue;
}

// False: more is needed.
bool XmlCall::read_value(std::string_view& in, MessageWriter& out, bool at_turn_end) {
  if (at_value_start_) {
    if (in.empty() || in == "\r") return false;
    in.remove_prefix(in.starts_with("\r\n") ? 2 : in.starts_with('\n') ? 1 : 0);
    at_value_start_ = false;
  }
  for (size_t at = 0;; ++at) {
    at = in.find_first_of("\r\n<", at);
    if (at == in.npos) {
      add_value(out, in);
      in = {};
      return false;
    }
    const End end = value_end(in.substr(at), at_turn_end);
    if (end.match == Match::kNo) continue;
    add_value(out, in.substr(0, at));
    in.remove_prefix(at + end.size);
    if (end.match == Match::kPartial) return false;
    end_value(out);
    phase_ = Phase::kBetween;
    return true;
  }
}

XmlCall::End XmlCall::value_end(std::string_view text, bool at_turn_end) const {
  const size_t line_end = text.starts_with("\r\n") ? 2 : text.starts_with('\n') ? 1 : 0;
  if (line_end == 0 && text[0] == '\r')
    return {text.size() == 1 && !at_turn_end ? Match::kPartial : Match::kNo};
  const std::string_view tag = text.substr(line_end);
  if (tag.empty()) return {at_turn_end ? Match::kNo : Match::kPartial};

  // </parameter> and what must follow it; the end of the turn does.
  const auto followed = [&](std::string_view behind, std::initializer_list<std::string_view> words) {
    behind = skip_space(behind);
    if (behind.empty()) return at_turn_end ? Match::kYes : Match::kPartial;
    const Match match = begins_with_any(behind, words);
    return match == Match::kPartial && at_turn_end ? Match::kYes : match;
  };
  bool partial = false;
  const auto check = [&](std::string_view word, std::initializer_list<std::string_view> words) {
    Match match = begins_with(tag, word);
    if (match == Match::kYes) match = followed(tag.substr(word.size()), words);
    partial |= match == Match::kPartial && !at_turn_end;
    return match == Match::kYes;
  };
  if (check(kParameterEnd, {kParameter, kFunctionEnd, kToolCallEnd, kToolCall, kParameterEnd}))
    return {Match::kYes, line_end + kParameterEnd.size()};
  if (line_end > 0) {  // </parameter> was forgotten
    if (check(kFunctionEnd, {kToolCallEnd})) return {Match::kYes, line_end};
    std::string_view key;
    size_t size = 0;
    const Match match = read_tag(tag, kParameter, key, size);
    partial |= match == Match::kPartial && !at_turn_end;
    if (match == Match::kYes && parameters_ != nullptr && parameters_->has(key) &&
        keys_.find(key) == keys_.end())
      return {Match::kYes, line_end};
  }
  return {partial ? Match::kPartial : Match::kNo};
}

void XmlCall::add_value(MessageWriter& out, std::string_view text) {
  if (ignored_ || text.empty()) return;
  if (!streaming_) {
    // Text streams as soon as nothing else can come of it.
    constexpr size_t kLongestNull = sizeof("undefined");
    const bool text_only = types_ == kJsonString;
    const bool text_now =
        types_ == (kJsonString | kJsonNull) && buffered_.size() + text.size() > kLongestNull;
    buffered_ += text;
    if (!text_only && !text_now) return;
    streaming_ = true;
    out.arguments("\"");
    std::string escaped;
    append_escaped(escaped, buffered_);
    out.arguments(escaped);
    return;
  }
  std::string escaped;
  append_escaped(escaped, text);
  out.arguments(escaped);
}

void XmlCall::end_value(MessageWriter& out) {
  if (ignored_) return;
  out.arguments(streaming_ ? "\"" : coerce_text(buffered_, types_));
}

}  // namespace moraine::chat
