// The checked vocabulary: texts, types and bytes of the tokens, and the search by text. What the
// special tokens are: special_tokens.h. Merges and scores belong to the model: bpe.cpp, spm.cpp.
#pragma once

#include <moraine/tokenizer.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/vocab_data.h"

namespace moraine {

// Bounds on what a file may claim; the largest real values are noted beside them.
inline constexpr std::size_t kMaxTokens = 1u << 22;      // 262,144
inline constexpr std::size_t kMaxMerges = 1u << 23;      // 514,906
inline constexpr std::size_t kMaxTokenBytes = 1u << 16;  // 1,024

inline constexpr std::string_view kSpaceMark = "\xE2\x96\x81";  // "▁": how SentencePiece writes a space

enum class ModelKind : std::uint8_t { kBpe, kSpm };

class Vocab {
 public:
  // Throws Error{kCorruptFile}: no tokens, too many, too long, one text twice, types missing or
  // unknown. An empty token is taken as unused: it never results from a text and adds nothing to one.
  Vocab(const VocabData& data, ModelKind kind);

  std::size_t size() const noexcept { return types_.size(); }
  TokenType type(TokenId id) const noexcept { return types_[id]; }
  std::string_view text(TokenId id) const noexcept { return slice(texts_, text_ends_, id); }
  std::string_view bytes(TokenId id) const noexcept { return slice(bytes_, bytes_ends_, id); }
  TokenId find(std::string_view text) const noexcept;

  // A token that text may turn into without being asked to: neither control nor unknown nor a byte.
  bool is_plain(TokenId id) const noexcept {
    return types_[id] == TokenType::kNormal || types_[id] == TokenType::kUserDefined;
  }
  // <0x0A> -> 10; -1 for tokens that are not of type kByte.
  int byte_value(TokenId id) const noexcept;

  void set_type(TokenId id, TokenType type) noexcept { types_[id] = type; }

 private:
  static std::string_view slice(const std::string& all, const std::vector<std::uint32_t>& ends, TokenId id) {
    const std::uint32_t begin = id == 0 ? 0 : ends[id - 1];
    return std::string_view(all).substr(begin, ends[id] - begin);
  }
  void build_index();

  std::vector<TokenType> types_;
  std::string texts_, bytes_;  // of all tokens, one after the other
  std::vector<std::uint32_t> text_ends_, bytes_ends_;
  std::vector<TokenId> index_;  // by hash of the text, open addressing, at most half full
};

}  // namespace moraine
