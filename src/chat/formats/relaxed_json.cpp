#include "chat/formats/relaxed_json.h"

#include <algorithm>

#include "chat/formats/json_text.h"
#include "chat/formats/scanner.h"

namespace moraine::chat {
namespace {

constexpr size_t kMaxWord = 256;

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

bool is_number(std::string_view s) {
  const auto digits = [&] {
    const size_t n = std::min(s.find_first_not_of("0123456789"), s.size());
    s.remove_prefix(n);
    return n;
  };
  if (s.starts_with('-')) s.remove_prefix(1);
  const bool zero = s.starts_with('0');
  const size_t whole = digits();
  if (whole == 0 || (zero && whole > 1)) return false;
  if (s.starts_with('.')) {
    s.remove_prefix(1);
    if (digits() == 0) return false;
  }
  if (s.starts_with('e') || s.starts_with('E')) {
    s.remove_prefix(1);
    if (s.starts_with('+') || s.starts_with('-')) s.remove_prefix(1);
    if (digits() == 0) return false;
  }
  return s.empty();
}

// "" for what is no literal.
std::string_view literal(std::string_view word) {
  if (word == "true" || word == "True") return "true";
  if (word == "false" || word == "False") return "false";
  if (word == "null" || word == "None" || word == "undefined") return "null";
  return is_number(word) ? word : std::string_view();
}

uint32_t hex4(std::string_view text) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i)
    value = value * 16 + static_cast<uint32_t>(is_digit(text[i]) ? text[i] - '0' : (text[i] | 32) - 'a' + 10);
  return value;
}

// How "\uXXXX" compares with the text at hand.
Match unicode_escape(std::string_view text) {
  constexpr std::string_view kBegin = "\\u";
  const Match begin = begins_with(text, kBegin);
  if (begin != Match::kYes) return begin;
  const std::string_view digits = text.substr(2, 4);
  if (!std::all_of(digits.begin(), digits.end(), is_hex)) return Match::kNo;
  return digits.size() == 4 ? Match::kYes : Match::kPartial;
}

}  // namespace

RelaxedJson::Status RelaxedJson::push(std::string_view& in, std::string& out, bool at_end) {
  Status status = Status::kMore;
  for (;;) {
    if (state_ == State::kDone) return Status::kDone;
    if (state_ != State::kString && state_ != State::kWord) in = skip_space(in);
    if (in.empty() && !(at_end && state_ == State::kWord)) return Status::kMore;
    const size_t before = in.size();
    const State state = state_;
    switch (state_) {
      case State::kValue:
        status = read_value(in, out);
        break;
      case State::kKey:
        status = read_key(in, out);
        break;
      case State::kColon:
        if (in[0] != ':') return Status::kFailed;
        in.remove_prefix(1);
        out += ':';
        state_ = State::kValue;
        empty_ = false;
        break;
      case State::kString:
        status = read_string(in, out, at_end);
        break;
      case State::kWord:
        status = read_word(in, out, at_end);
        break;
      case State::kAfter:
        status = read_after(in, out);
        break;
      case State::kDone:
        break;
    }
    if (status == Status::kFailed || (in.size() == before && state_ == state)) return status;
  }
}

void RelaxedJson::comma(std::string& out) {
  if (comma_) out += ',';
  comma_ = false;
}

void RelaxedJson::end_value() {
  state_ = stack_.empty() ? State::kDone : State::kAfter;
  empty_ = false;
}

RelaxedJson::Status RelaxedJson::close(std::string_view& in, std::string& out) {
  if (stack_.empty() || (in[0] == '}') != (stack_.back() == '{')) return Status::kFailed;
  out += in[0];
  in.remove_prefix(1);
  stack_.pop_back();
  comma_ = false;
  end_value();
  return Status::kMore;
}

// The quote at the front, if there is one: kDone if a string was opened, kFailed if there is none.
RelaxedJson::Status RelaxedJson::open_string(std::string_view& in, std::string& out) {
  size_t n = 1;
  if (in[0] == '"') {
    quote_ = Quote::kDouble;
  } else if (in[0] == '\'') {
    quote_ = Quote::kSingle;
  } else if (style_ == Style::kGemma && begins_with(in, kGemmaQuote) != Match::kNo) {
    if (in.size() < kGemmaQuote.size()) return Status::kMore;
    quote_ = Quote::kGemma;
    n = kGemmaQuote.size();
  } else {
    return Status::kFailed;
  }
  in.remove_prefix(n);
  comma(out);
  out += '"';
  state_ = State::kString;
  return Status::kDone;
}

RelaxedJson::Status RelaxedJson::read_value(std::string_view& in, std::string& out) {
  const char c = in[0];
  if (c == '{' || c == '[') {
    if (stack_.size() >= kMaxDepth) return Status::kFailed;
    in.remove_prefix(1);
    comma(out);
    out += c;
    stack_ += c;
    empty_ = true;
    state_ = c == '{' ? State::kKey : State::kValue;
    return Status::kMore;
  }
  // An empty array, or a trailing comma in one.
  if (c == ']' && !stack_.empty() && stack_.back() == '[' && (empty_ || comma_)) return close(in, out);
  string_is_key_ = false;
  const Status opened = open_string(in, out);
  if (opened != Status::kFailed) return Status::kMore;
  if (std::string_view(",:}]").find(c) != std::string_view::npos) return Status::kFailed;
  word_.clear();
  state_ = State::kWord;
  return Status::kMore;
}

RelaxedJson::Status RelaxedJson::read_key(std::string_view& in, std::string& out) {
  if (in[0] == '}') return close(in, out);
  if (comma_ && in[0] == ',') {
    in.remove_prefix(1);
    return Status::kMore;
  }
  string_is_key_ = true;
  const Status opened = open_string(in, out);
  if (opened != Status::kFailed) return Status::kMore;
  if (style_ != Style::kGemma) return Status::kFailed;
  const size_t colon = in.find_first_of(":,{}[]\n");
  if (colon == in.npos) return in.size() > kMaxWord ? Status::kFailed : Status::kMore;
  if (in[colon] != ':') return Status::kFailed;
  comma(out);
  out += quoted(in.substr(0, colon));
  in.remove_prefix(colon);
  state_ = State::kColon;
  return Status::kMore;
}

// Whether a quote ends the string, by what is behind it: a quote that somebody forgot to escape is followed
// by neither comma nor bracket.
bool RelaxedJson::ends_string(std::string_view behind, bool at_end, bool& sure) const {
  behind = skip_space(behind);
  sure = true;
  if (at_end || string_is_key_ || (stack_.empty() && !within_)) return true;
  if (behind.empty()) {
    sure = false;
    return true;
  }
  const char c = behind[0];
  // '<': the closing tag of a call whose bracket was forgotten; a quote: a comma was.
  return c == ',' || c == '}' || c == ']' || c == '<' || c == '"' || c == '\'';
}

RelaxedJson::Status RelaxedJson::read_string(std::string_view& in, std::string& out, bool at_end) {
  const char end = quote_ == Quote::kDouble ? '"' : quote_ == Quote::kSingle ? '\'' : '<';
  const size_t plain =
      std::min(static_cast<size_t>(std::find_if(in.begin(), in.end(),
                                                [&](char c) {
                                                  return c == end || c == '"' || c == '\\' ||
                                                         static_cast<unsigned char>(c) < 0x20;
                                                }) -
                                   in.begin()),
               in.size());
  out += in.substr(0, plain);
  in.remove_prefix(plain);
  if (in.empty()) return Status::kMore;
  if (in[0] == end) {
    const std::string_view mark = quote_ == Quote::kGemma ? kGemmaQuote : in.substr(0, 1);
    const Match match = begins_with(in, mark);
    if (match == Match::kPartial && !at_end) return Status::kMore;
    bool sure = true;
    if (match == Match::kYes &&
        (quote_ == Quote::kGemma || ends_string(in.substr(mark.size()), at_end, sure))) {
      if (!sure) return Status::kMore;
      in.remove_prefix(mark.size());
      out += '"';
      if (string_is_key_)
        state_ = State::kColon;
      else
        end_value();
      return Status::kMore;
    }
  } else if (in[0] == '\\' && quote_ != Quote::kGemma) {
    return read_escape(in, out, at_end);
  }
  append_escaped(out, in.substr(0, 1));
  in.remove_prefix(1);
  return Status::kMore;
}

RelaxedJson::Status RelaxedJson::read_escape(std::string_view& in, std::string& out, bool at_end) {
  if (in.size() < 2) {
    if (at_end) in = {};
    return Status::kMore;
  }
  const char c = in[1];
  if (c != 'u') {
    if (c == '\'') {
      out += c;
    } else if (std::string_view("\"\\/bfnrt").find(c) != std::string_view::npos) {
      out += in.substr(0, 2);
    } else {  // no escape of JSON's: a backslash that means itself
      out += "\\\\";
      in.remove_prefix(1);
      return Status::kMore;
    }
    in.remove_prefix(2);
    return Status::kMore;
  }
  const Match first = unicode_escape(in);
  if (first == Match::kPartial && !at_end) return Status::kMore;
  if (first != Match::kYes) {
    out += "\\\\";
    in.remove_prefix(1);
    return Status::kMore;
  }
  const uint32_t code = hex4(in.substr(2));
  if (code < 0xD800 || code >= 0xE000) {
    out += in.substr(0, 6);
    in.remove_prefix(6);
    return Status::kMore;
  }
  const std::string_view behind = in.substr(6);
  const Match second = code < 0xDC00 ? unicode_escape(behind) : Match::kNo;
  if (second == Match::kPartial && !at_end) return Status::kMore;
  const uint32_t low = second == Match::kYes ? hex4(behind.substr(2)) : 0;
  if (low >= 0xDC00 && low < 0xE000) {
    out += in.substr(0, 12);
    in.remove_prefix(12);
  } else {
    out += "\\ufffd";
    in.remove_prefix(6);
  }
  return Status::kMore;
}

RelaxedJson::Status RelaxedJson::read_word(std::string_view& in, std::string& out, bool at_end) {
  const std::string_view stops = style_ == Style::kGemma ? ",}]\n" : ",:}]) \t\r\n<\"'{[";
  const size_t n = std::min(in.find_first_of(stops), in.size());
  if (word_.size() + n > kMaxWord) return Status::kFailed;
  word_ += in.substr(0, n);
  in.remove_prefix(n);
  if (in.empty() && !at_end) return Status::kMore;
  const std::string_view known = literal(word_);
  if (known.empty() && (style_ != Style::kGemma || word_.empty())) {
    if (word_ != "NaN" && word_ != "Infinity" && word_ != "-Infinity") return Status::kFailed;
    word_ = "null";
  }
  comma(out);
  out += !known.empty() ? std::string(known) : word_ == "null" ? word_ : quoted(word_);
  end_value();
  return Status::kMore;
}

RelaxedJson::Status RelaxedJson::read_after(std::string_view& in, std::string& out) {
  const char c = in[0];
  if (c == '}' || c == ']') return close(in, out);
  if (c != ',' && c != '"' && c != '\'') return Status::kFailed;
  if (c == ',') in.remove_prefix(1);
  comma_ = true;
  state_ = stack_.back() == '{' ? State::kKey : State::kValue;
  return Status::kMore;
}

std::string RelaxedJson::closing() const {
  std::string text;
  if (state_ == State::kString) text += '"';
  if (state_ == State::kColon || (state_ == State::kString && string_is_key_)) text += ":null";
  // Of a value that never came: behind a colon, not behind a comma, which was not written.
  const bool behind_colon = !stack_.empty() && stack_.back() == '{';
  if ((state_ == State::kValue || state_ == State::kWord) && (stack_.empty() || behind_colon)) text += "null";
  for (size_t i = stack_.size(); i > 0; --i) text += stack_[i - 1] == '{' ? '}' : ']';
  return text;
}

}  // namespace moraine::chat
