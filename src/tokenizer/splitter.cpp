#include "tokenizer/splitter.h"

#include <fmt/format.h>
#include <moraine/error.h>

namespace moraine {

Splitter::Splitter(const Vocab& vocab) : nodes_(1) {
  size_t total = 0;
  for (TokenId id = 0; id < static_cast<TokenId>(vocab.size()); ++id) {
    const TokenType type = vocab.type(id);
    const bool user_defined = type == TokenType::kUserDefined;
    if (!user_defined && type != TokenType::kControl && type != TokenType::kUnknown) continue;
    const std::string_view text = vocab.text(id);
    total += text.size();
    if (text.size() > kMaxSpecialBytes || total > kMaxSpecialBytesInAll)
      throw Error(
          ErrorCode::kCorruptFile,
          fmt::format(
              "The special token {} is {} bytes long (at most {}), {} with those before it (at most {}).", id,
              text.size(), kMaxSpecialBytes, total, kMaxSpecialBytesInAll));
    uint32_t node = kRoot;
    for (const char c : text) {
      const auto fresh = static_cast<uint32_t>(nodes_.size());
      const uint32_t child = edges_.insert(edge(node, c), fresh);
      if (child == fresh) nodes_.emplace_back();
      node = child;
    }
    nodes_[node] = {id, user_defined};
    first_any_.set(static_cast<uint8_t>(text[0]));
    if (user_defined) first_user_.set(static_cast<uint8_t>(text[0]));
  }
}

std::vector<Segment> Splitter::split(std::string_view text, bool parse_special) const {
  std::vector<Segment> segments;
  const std::bitset<256>& first = parse_special ? first_any_ : first_user_;
  size_t begin = 0;  // of the text not yet handed out
  for (size_t i = 0; i < text.size();) {
    if (!first[static_cast<uint8_t>(text[i])]) {
      ++i;
      continue;
    }
    TokenId token = kNoToken;
    size_t end = i;
    uint32_t node = kRoot;
    for (size_t j = i; j < text.size(); ++j) {
      const uint32_t* child = edges_.find(edge(node, text[j]));
      if (child == nullptr) break;
      node = *child;
      if (nodes_[node].token != kNoToken && (parse_special || nodes_[node].user_defined)) {
        token = nodes_[node].token;
        end = j + 1;
      }
    }
    if (token == kNoToken) {
      ++i;
      continue;
    }
    if (begin < i) segments.push_back({kNoToken, text.substr(begin, i - begin)});
    segments.push_back({token, text.substr(i, end - i)});
    begin = i = end;
  }
  if (begin < text.size()) segments.push_back({kNoToken, text.substr(begin)});
  return segments;
}

}  // namespace moraine
