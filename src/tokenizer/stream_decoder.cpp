// StreamDecoder: holds back the bytes of an unfinished character. Declared in <moraine/tokenizer.h>.
#include <moraine/tokenizer.h>

#include "tokenizer/utf8.h"

namespace moraine {

StreamDecoder::StreamDecoder(std::shared_ptr<const Tokenizer> tokenizer, DecodeOptions options)
    : tokenizer_(std::move(tokenizer)), options_(options), at_start_(options.text_start) {}

std::string StreamDecoder::push(TokenId id) {
  if (!tokenizer_->contains(id)) return {};
  DecodeOptions options = options_;
  options.text_start = at_start_;
  pending_ += tokenizer_->decode({&id, 1}, options);
  const TokenType type = tokenizer_->type(id);
  if (type != TokenType::kControl && type != TokenType::kUnknown) at_start_ = false;

  std::string text;
  std::string_view rest = pending_;
  while (!rest.empty()) {
    const utf8::Sequence s = utf8::next(rest);
    if (s.kind == utf8::Kind::kIncomplete) break;
    text += s.kind == utf8::Kind::kValid ? rest.substr(0, s.size) : utf8::kReplacement;
    rest.remove_prefix(s.size);
  }
  pending_.erase(0, pending_.size() - rest.size());
  return text;
}

std::string StreamDecoder::flush() {
  std::string text(pending_.empty() ? std::string_view{} : utf8::kReplacement);
  pending_.clear();
  at_start_ = options_.text_start;
  return text;
}

}  // namespace moraine
