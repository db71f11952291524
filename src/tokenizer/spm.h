// SentencePiece BPE (tokenizer.ggml.model "llama"): spaces written as "▁", characters as symbols,
// the merge into the highest-scored token first, bytes where the vocabulary lacks a character.
#pragma once

#include <array>
#include <bitset>
#include <string_view>

#include "tokenizer/merger.h"
#include "tokenizer/text_encoder.h"
#include "tokenizer/vocab.h"

namespace moraine {

class SpmEncoder final : public TextEncoder {
 public:
  // Throws Error{kCorruptFile} where scores are missing or not numbers.
  SpmEncoder(const VocabData& data, const Vocab& vocab, TokenId unk, bool add_space_prefix);

  void encode(std::span<const Segment> segments, std::vector<TokenId>& out) const override;

 private:
  void add_merges(const VocabData& data);
  bool is_cut(std::string_view escaped, std::size_t at) const noexcept;
  void push_symbols(std::string_view word, Merger& merger) const;

  const Vocab& vocab_;
  TokenId unk_;
  bool add_space_prefix_;
  MergeTable merges_;
  std::array<TokenId, 256> byte_ids_;   // <0x00> ...
  std::array<TokenId, 128> ascii_ids_;  // one-character tokens, to spare a search
  std::bitset<256> before_space_;       // bytes that stand right before a "▁" inside some token
};

}  // namespace moraine
