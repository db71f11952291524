#include "chat/formats/arguments_reader.h"

#include "chat/formats/coerce.h"
#include "chat/formats/json_text.h"
#include "chat/formats/scanner.h"

namespace moraine::chat {

ArgumentsReader::Status ArgumentsReader::push(std::string_view& in, std::string& out, bool at_end) {
  for (;;) {
    if (state_ == State::kDone) return Status::kDone;
    if (state_ != State::kValue && (state_ != State::kKey || key_.empty())) in = skip_space(in);
    if (in.empty() && !(at_end && state_ == State::kValue)) return Status::kMore;
    switch (state_) {
      case State::kOpen:
        if (in[0] != '{') return Status::kFailed;
        in.remove_prefix(1);
        out += '{';
        state_ = State::kKey;
        break;
      case State::kKey:
        if (key_.empty() && in[0] == '}') {
          in.remove_prefix(1);
          out += '}';
          state_ = State::kDone;
          break;
        }
        if (const Status status = read_key(in, out, at_end); status != Status::kDone) return status;
        break;
      case State::kColon:
        if (in[0] != ':') return Status::kFailed;
        in.remove_prefix(1);
        state_ = State::kBegin;
        break;
      case State::kBegin:
        buffering_ = !streams(in[0]);
        if (!first_) out += ',';
        first_ = false;
        out += key_ + ':';
        key_.clear();
        value_ = RelaxedJson(style_, /*within=*/true);
        buffered_.clear();
        state_ = State::kValue;
        break;
      case State::kValue:
        if (const Status status = read_value(in, out, at_end); status != Status::kDone) return status;
        break;
      case State::kAfter:
        if (in[0] == ',')
          in.remove_prefix(1);
        else if (in[0] != '}' && in[0] != '"' && in[0] != '\'')
          return Status::kFailed;
        state_ = State::kKey;
        break;
      case State::kDone:
        break;
    }
  }
}

ArgumentsReader::Status ArgumentsReader::read_key(std::string_view& in, std::string&, bool at_end) {
  std::string_view name;
  if (style_ == RelaxedJson::Style::kGemma && key_.empty() && in[0] != '"' && in[0] != '<') {
    const size_t colon = in.find_first_of(":,{}[]\n");
    if (colon == in.npos) return in.size() > 256 ? Status::kFailed : Status::kMore;
    if (in[colon] != ':') return Status::kFailed;
    key_ = quoted(in.substr(0, colon));
    in.remove_prefix(colon);
  } else {
    if (key_.empty()) {
      if (in[0] != '"' && in[0] != '\'' && in[0] != '<') return Status::kFailed;
      value_ = RelaxedJson(style_);
    }
    const Status status = value_.push(in, key_, at_end);
    if (status != Status::kDone) return status;
    if (!key_.starts_with('"')) return Status::kFailed;
  }
  value_types_ = types_ == nullptr ? uint8_t{kJsonAny} : types_->type(unquoted(key_));
  state_ = State::kColon;
  return Status::kDone;
}

// Whether a value that begins so is of an allowed type whatever follows.
bool ArgumentsReader::streams(char first) const {
  if (value_types_ == kJsonAny) return true;
  switch (first) {
    case '{':
      return (value_types_ & kJsonObject) != 0;
    case '[':
      return (value_types_ & kJsonArray) != 0;
    case '"':
    case '\'':
    case '<':
      return (value_types_ & kJsonString) != 0;
    default:
      return false;
  }
}

ArgumentsReader::Status ArgumentsReader::read_value(std::string_view& in, std::string& out, bool at_end) {
  const Status status = value_.push(in, buffering_ ? buffered_ : out, at_end);
  if (status != Status::kDone) return status;
  if (buffering_) out += coerce_value(buffered_, value_types_);
  state_ = State::kAfter;
  return status;
}

std::string ArgumentsReader::closing() const {
  switch (state_) {
    case State::kDone:
      return "";
    case State::kOpen:
      return "{}";
    case State::kValue:
      return (buffering_ ? "null" : value_.closing()) + "}";
    default:
      return "}";
  }
}

}  // namespace moraine::chat
