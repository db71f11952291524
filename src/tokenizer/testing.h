// Small vocabularies for the tests of this folder.
#pragma once

#include <string>

#include "tokenizer/byte_chars.h"
#include "tokenizer/vocab_data.h"

namespace moraine::testing {

inline TokenId add_token(VocabData& data, std::string text, TokenType type = TokenType::kNormal,
                         float score = 0) {
  data.tokens.push_back(std::move(text));
  data.types.push_back(static_cast<int32_t>(type));
  data.scores.push_back(score);
  return static_cast<TokenId>(data.tokens.size() - 1);
}

// Byte-level BPE: id b is the byte b, then the merges' results in their order (h e -> "he" = 256,
// "hel" 257, "lo" 258, "Ġ w" 259, "Ġ Ġ" 260, "a a" 261, "aa aa" 262), then the special tokens.
inline VocabData tiny_bpe(std::string pre = "gpt-2") {
  VocabData data{.model = "gpt2", .pre = std::move(pre)};
  for (int b = 0; b < 256; ++b) {
    std::string text;
    utf8::append(text, kByteChars[b]);
    add_token(data, text);
  }
  for (const char* merge : {"h e", "he l", "l o", "Ġ w", "Ġ Ġ", "a a", "aa aa"}) {
    data.merges.push_back(merge);
    std::string text = merge;
    text.erase(text.find(' '), 1);
    add_token(data, text);
  }
  data.bos = add_token(data, "<|begin|>", TokenType::kControl);
  data.eos = add_token(data, "<|im_end|>", TokenType::kControl);
  add_token(data, "<|im", TokenType::kControl);
  add_token(data, "<tool>", TokenType::kUserDefined);
  add_token(data, "<tool><x>", TokenType::kUserDefined);
  return data;
}

// SentencePiece: <unk> 0, <s> 1, </s> 2, the bytes from 3, then the pieces.
inline VocabData tiny_spm() {
  VocabData data{.model = "llama", .pre = "default"};
  data.unk = add_token(data, "<unk>", TokenType::kUnknown);
  data.bos = add_token(data, "<s>", TokenType::kControl);
  data.eos = add_token(data, "</s>", TokenType::kControl);
  for (int b = 0; b < 256; ++b) {
    const char* hex = "0123456789ABCDEF";
    add_token(data, std::string("<0x") + hex[b >> 4] + hex[b & 15] + ">", TokenType::kByte);
  }
  float score = 0;
  for (const char* piece : {"▁", "h", "e", "l", "o", "a", "b", "é", "ll", "he", "hell", "hello", "▁hello",
                            "aa", "ab", "aaa", "▁▁"})
    add_token(data, piece, TokenType::kNormal, --score);
  add_token(data, "<tool>", TokenType::kUserDefined);
  return data;
}

}  // namespace moraine::testing
