#include "chat/formats/json_call.h"

#include "chat/formats/json_text.h"
#include "chat/formats/scanner.h"

namespace moraine::chat {
namespace {

constexpr size_t kMaxPrefix = 4 << 10;

bool is_name_key(std::string_view key) { return key == "name" || key == "tool_name"; }
bool is_arguments_key(std::string_view key) {
  return key == "arguments" || key == "parameters" || key == "args" || key == "input";
}

// {"a": 1} of arguments as they stand; "" if they are none.
std::string arguments_object(std::string_view value) {
  if (value.empty() || value == "null" || value == "\"\"") return "{}";
  if (value.starts_with('{')) return std::string(value);
  if (!value.starts_with('"')) return "";
  const std::string text = unquoted(value);
  std::string_view in = text;
  std::string object;
  RelaxedJson reader;
  if (reader.push(in, object, true) != RelaxedJson::Status::kDone || !object.starts_with('{')) return "";
  return object;
}

}  // namespace

// What stands before the arguments of a call whose name comes first.
struct JsonCall::Prefix {
  std::string_view rest;  // not read yet
  std::string name, id;
  int depth = 0;

  explicit Prefix(std::string_view text) : rest(text) {}

  // kYes: `rest` begins with the arguments' brace. kNo: this is written some other way.
  Match read() {
    for (int opened = 0; opened < 2; ++opened) {  // {{ ... }}: models that imitate their prompt
      rest = skip_space(rest);
      if (rest.empty()) return Match::kPartial;
      if (rest[0] != '{') break;
      rest.remove_prefix(1);
      ++depth;
    }
    if (depth == 0) return Match::kNo;
    for (;;) {
      std::string key, value;
      if (const Match m = read_string(key); m != Match::kYes) return m;
      if (const Match m = read_char(':'); m != Match::kYes) return m;
      rest = skip_space(rest);
      if (rest.empty()) return Match::kPartial;
      if (is_arguments_key(key)) return rest[0] == '{' && !name.empty() ? Match::kYes : Match::kNo;
      if (key == "function" && rest[0] == '{') {
        if (++depth > 3) return Match::kNo;
        rest.remove_prefix(1);
        continue;
      }
      if (rest[0] != '"') return Match::kNo;
      if (const Match m = read_string(value); m != Match::kYes) return m;
      if (is_name_key(key) || key == "function") name = value;
      if (key == "id") id = value;
      if (const Match m = read_char(','); m != Match::kYes) return m;
    }
  }

 private:
  Match read_char(char c) {
    rest = skip_space(rest);
    if (rest.empty()) return Match::kPartial;
    if (rest[0] != c) return Match::kNo;
    rest.remove_prefix(1);
    return Match::kYes;
  }
  // Without escapes: names and ids have none.
  Match read_string(std::string& out) {
    if (const Match m = read_char('"'); m != Match::kYes) return m;
    const size_t end = rest.find_first_of("\"\\\n");
    if (end == rest.npos) return Match::kPartial;
    if (rest[end] != '"') return Match::kNo;
    out = rest.substr(0, end);
    rest.remove_prefix(end + 1);
    return Match::kYes;
  }
};

JsonCall::Status JsonCall::push(std::string_view& in, MessageWriter& out, bool at_end) {
  if (phase_ == Phase::kPrefix) {
    const Status status = read_prefix(in, out, at_end);
    if (phase_ == Phase::kPrefix) return status;
  }
  if (phase_ == Phase::kWhole) return read_whole(in, out, at_end);
  if (phase_ == Phase::kArguments) {
    std::string json;
    const ArgumentsReader::Status status = arguments_->push(in, json, at_end);
    const bool close = status == ArgumentsReader::Status::kMore && at_end && arguments_->closable();
    if (status == ArgumentsReader::Status::kFailed || close) json += arguments_->closing();
    out.arguments(json);
    if (status == ArgumentsReader::Status::kMore && !close) return Status::kMore;
    if (status == ArgumentsReader::Status::kFailed) {
      out.end_call();
      return Status::kBroken;
    }
    out.end_call();
    phase_ = Phase::kTail;
  }
  return read_tail(in);
}

bool JsonCall::begin(MessageWriter& out, std::string_view name, std::string_view id) {
  if (!is_name(name) || (known_only_ && (tools_ == nullptr || !tools_->has(name)))) return false;
  out.begin_call(name, id);
  return true;
}

JsonCall::Status JsonCall::read_prefix(std::string_view& in, MessageWriter& out, bool at_end) {
  // The same decision whatever arrived at once: never by more than the limit.
  Prefix prefix(in.substr(0, kMaxPrefix));
  const Match match = prefix.read();
  if (match == Match::kPartial && !at_end && in.size() < kMaxPrefix) return Status::kMore;
  if (match != Match::kYes) {
    if (!skip_space(in).starts_with('{')) return Status::kNoCall;
    phase_ = Phase::kWhole;
    return Status::kMore;
  }
  if (!begin(out, prefix.name, prefix.id)) return Status::kNoCall;
  arguments_ = std::make_unique<ArgumentsReader>(tools_ == nullptr ? nullptr : tools_->find(prefix.name));
  depth_ = prefix.depth;
  in.remove_prefix(static_cast<size_t>(prefix.rest.data() - in.data()));
  phase_ = Phase::kArguments;
  return Status::kMore;
}

JsonCall::Status JsonCall::read_whole(std::string_view& in, MessageWriter& out, bool at_end) {
  const std::string_view all = in.substr(0, max_whole_);
  std::string_view rest = all.substr(whole_read_);
  if (whole_read_ == 0) {  // the outer braces of {{...}} are nobody's
    const std::string_view inner = skip_space(skip_space(all).substr(1));
    doubled_ = inner.starts_with('{');
    if (doubled_) rest = inner;
  }
  const RelaxedJson::Status status = whole_.push(rest, strict_, at_end);
  whole_read_ = all.size() - rest.size();
  if (status == RelaxedJson::Status::kMore && !at_end && in.size() < max_whole_) return Status::kMore;
  if (status != RelaxedJson::Status::kDone || !write_json_call(strict_, tools_, known_only_, out))
    return Status::kNoCall;
  in.remove_prefix(whole_read_);
  if (!doubled_) return Status::kDone;
  depth_ = 1;
  phase_ = Phase::kTail;
  return read_tail(in);
}

// Behind the arguments: further members, then the closing braces.
JsonCall::Status JsonCall::read_tail(std::string_view& in) {
  while (!in.empty() && depth_ > 0) {
    const char c = in[0];
    if (tail_in_string_) {
      if (c == '"') tail_in_string_ = false;
    } else if (c == '"') {
      tail_in_string_ = true;
    } else if (c == '{') {
      ++depth_;
    } else if (c == '}') {
      --depth_;
    } else if (c == '<' || c == '[' || c == ']') {  // a brace was forgotten
      return Status::kDone;
    }
    in.remove_prefix(1);
  }
  return depth_ == 0 ? Status::kDone : Status::kMore;
}

bool write_json_call(std::string_view object, const ToolTypes* tools, bool known_only, MessageWriter& out) {
  std::string name, id;
  std::string_view arguments;
  for (int level = 0; level < 2; ++level) {
    std::string_view inner;
    for (const auto& [key, value] : members_of(object)) {
      const bool text = value.starts_with('"');
      if (text && (is_name_key(key) || key == "function")) name = unquoted(value);
      if (text && key == "id") id = unquoted(value);
      if (is_arguments_key(key)) arguments = value;
      if (key == "function" && value.starts_with('{')) inner = value;
    }
    if (inner.empty()) break;
    object = inner;
  }
  const std::string given = arguments_object(arguments);
  if (given.empty() || !is_name(name) || (known_only && (tools == nullptr || !tools->has(name))))
    return false;
  ArgumentsReader reader(tools == nullptr ? nullptr : tools->find(name));
  std::string json;
  std::string_view in = given;
  if (reader.push(in, json, true) != ArgumentsReader::Status::kDone) return false;
  out.begin_call(name, id);
  out.arguments(json);
  out.end_call();
  return true;
}

}  // namespace moraine::chat
