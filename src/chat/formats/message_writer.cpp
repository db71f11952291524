#include "chat/formats/message_writer.h"

#include <algorithm>
#include <utility>

#include "chat/formats/scanner.h"

namespace moraine::chat {
namespace {

uint64_t mix(uint64_t x) {  // splitmix64
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

bool is_short_id(std::string_view id) {
  return id.size() == 9 && std::all_of(id.begin(), id.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
         });
}

}  // namespace

std::string MessageWriter::make_id() const {
  static constexpr std::string_view kLetters =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
  std::string id = short_ids_ ? "" : "call_";
  const size_t n = short_ids_ ? 9 : 24;
  uint64_t bits = 0;
  for (size_t i = 0; i < n; ++i) {
    if (i % 8 == 0) bits = mix(seed_ ^ mix(uint64_t{n_calls_} * 8 + i / 8));
    id += kLetters[bits % kLetters.size()];
    bits /= kLetters.size();
  }
  return id;
}

void MessageWriter::content(std::string_view text) {
  if (text.empty()) return;
  // White space between a call and the text behind it parts that text from the one before, if any.
  const bool parts_nothing = n_calls_ > 0 && !has_content_;
  if (parts_nothing) text = skip_space(text);
  const size_t last = text.find_last_not_of(kWhiteSpace);
  if (last == text.npos) {
    held_ += text;
    return;
  }
  if (!parts_nothing) delta_.content += held_;
  held_ = text.substr(last + 1);
  delta_.content += text.substr(0, last + 1);
  has_content_ = true;
}

void MessageWriter::begin_call(std::string_view name, std::string_view id) {
  held_.clear();
  in_call_ = true;
  if (!single_call_ || n_calls_ == 0) {
    ToolCallDelta call;
    call.index = n_calls_;
    call.id = short_ids_ && is_short_id(id) ? std::string(id) : make_id();
    call.name = name;
    delta_.tool_calls.push_back(std::move(call));
  }
  ++n_calls_;
}

void MessageWriter::arguments(std::string_view json) {
  if (json.empty() || (single_call_ && n_calls_ > 1)) return;
  const uint32_t index = n_calls_ - 1;
  // Behind the delta of the name comes one of its own: some clients take arguments from there on.
  if (delta_.tool_calls.empty() || delta_.tool_calls.back().index != index ||
      !delta_.tool_calls.back().id.empty())
    delta_.tool_calls.push_back({.index = index});
  delta_.tool_calls.back().arguments += json;
}

void MessageWriter::end_text() {
  if (n_calls_ == 0) delta_.content += held_;
  held_.clear();
}

MessageDelta MessageWriter::take() { return std::exchange(delta_, {}); }

}  // namespace moraine::chat
