#include "chat/formats/call_parser.h"

#include <utility>

namespace moraine::chat {

MessageDelta CallParser::push(std::string_view text) {
  text_ += text;
  while (step()) {
  }
  text_.erase(0, std::exchange(read_, 0));
  return writer_.take();
}

MessageDelta CallParser::finish(TextEnd end) {
  ended_ = true;
  end_ = end;
  while (step()) {
  }
  if (writer_.in_call())
    unfinished_ = raw_ + std::string(rest());
  else
    take_content(rest().size());
  writer_.end_text();
  return writer_.take();
}

void CallParser::take(size_t n) {
  if (in_call_text_) raw_ += rest().substr(0, n);
  read_ += n;
}

void CallParser::take_content(size_t n) {
  writer_.content(rest().substr(0, n));
  read_ += n;
}

}  // namespace moraine::chat
