#include "tokenizer/vocab.h"

#include <fmt/format.h>
#include <moraine/error.h>

#include <bit>
#include <functional>

#include "tokenizer/byte_chars.h"

namespace moraine {
namespace {

// "<0x0A>" -> 10, anything else -1
int parse_byte_token(std::string_view text) {
  if (text.size() != 6 || !text.starts_with("<0x") || text[5] != '>') return -1;
  int value = 0;
  for (const char c : text.substr(3, 2)) {
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                             : -1;
    if (digit < 0) return -1;
    value = value * 16 + digit;
  }
  return value;
}

TokenType checked_type(const VocabData& data, size_t i, ModelKind kind) {
  if (data.tokens[i].empty()) return TokenType::kUnused;
  if (data.types.empty()) {
    const bool byte = kind == ModelKind::kSpm && parse_byte_token(data.tokens[i]) >= 0;
    return byte ? TokenType::kByte : TokenType::kNormal;
  }
  const int32_t t = data.types[i];
  if (t == 0) return TokenType::kNormal;  // "undefined": written by some converters for ordinary tokens
  if (t < 1 || t > 6)
    throw Error(ErrorCode::kCorruptFile,
                fmt::format("The vocabulary gives token {} the type {}; types are 1 to 6.", i, t));
  if (t == 6 && parse_byte_token(data.tokens[i]) < 0)
    throw Error(ErrorCode::kCorruptFile,
                fmt::format("Token {} is marked as a byte, but its text is not of the form <0x0A>.", i));
  return static_cast<TokenType>(t);
}

}  // namespace

Vocab::Vocab(const VocabData& data, ModelKind kind) {
  const size_t n = data.tokens.size();
  if (n == 0)
    throw Error(ErrorCode::kCorruptFile, "The file has no vocabulary: tokenizer.ggml.tokens is empty.");
  if (n > kMaxTokens)
    throw Error(ErrorCode::kCorruptFile,
                fmt::format("The vocabulary claims {} tokens; at most {} are accepted.", n, kMaxTokens));
  if (!data.types.empty() && data.types.size() < n)
    throw Error(ErrorCode::kCorruptFile,
                fmt::format("tokenizer.ggml.token_type has {} entries for {} tokens.", data.types.size(), n));
  size_t total = 0;
  for (size_t i = 0; i < n; ++i) {
    const size_t size = data.tokens[i].size();
    if (size > kMaxTokenBytes)
      throw Error(ErrorCode::kCorruptFile, fmt::format("Token {} is {} bytes long; at most {} are accepted.",
                                                       i, size, kMaxTokenBytes));
    total += size;
  }
  if (total > UINT32_MAX)
    throw Error(ErrorCode::kCorruptFile,
                fmt::format("The vocabulary's texts take {} bytes; at most 4 GiB.", total));

  types_.reserve(n);
  texts_.reserve(total);
  bytes_.reserve(total);
  text_ends_.reserve(n);
  bytes_ends_.reserve(n);
  for (size_t i = 0; i < n; ++i) {
    const std::string_view text = data.tokens[i];
    const TokenType type = checked_type(data, i, kind);
    types_.push_back(type);
    texts_.append(text);
    text_ends_.push_back(static_cast<uint32_t>(texts_.size()));
    const bool spelled = type == TokenType::kNormal || type == TokenType::kUnused;
    if (type == TokenType::kByte) {
      bytes_ += static_cast<char>(parse_byte_token(text));
    } else if (kind == ModelKind::kBpe && spelled) {
      append_spelled_bytes(bytes_, text);
    } else if (kind == ModelKind::kSpm && (spelled || type == TokenType::kUserDefined)) {
      for (size_t at = 0; at < text.size();) {
        const size_t mark = std::min(text.find(kSpaceMark, at), text.size());
        bytes_.append(text.substr(at, mark - at));
        if (mark < text.size()) bytes_ += ' ';
        at = mark + kSpaceMark.size();
      }
    } else {
      bytes_.append(text);
    }
    bytes_ends_.push_back(static_cast<uint32_t>(bytes_.size()));
  }
  build_index();
}

void Vocab::build_index() {
  index_.assign(std::bit_ceil(size() * 2), kNoToken);
  const size_t mask = index_.size() - 1;
  for (TokenId id = 0; id < static_cast<TokenId>(size()); ++id) {
    if (text(id).empty()) continue;
    size_t i = std::hash<std::string_view>{}(text(id))&mask;
    for (; index_[i] != kNoToken; i = (i + 1) & mask) {
      if (text(index_[i]) == text(id))
        throw Error(ErrorCode::kCorruptFile,
                    fmt::format("Tokens {} and {} have the same text; a vocabulary must not repeat one.",
                                index_[i], id));
    }
    index_[i] = id;
  }
}

TokenId Vocab::find(std::string_view wanted) const noexcept {
  if (wanted.empty()) return kNoToken;
  const size_t mask = index_.size() - 1;
  for (size_t i = std::hash<std::string_view>{}(wanted)&mask; index_[i] != kNoToken; i = (i + 1) & mask)
    if (text(index_[i]) == wanted) return index_[i];
  return kNoToken;
}

int Vocab::byte_value(TokenId id) const noexcept {
  return types_[id] == TokenType::kByte ? static_cast<uint8_t>(bytes(id)[0]) : -1;
}

}  // namespace moraine
