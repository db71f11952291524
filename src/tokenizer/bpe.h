// Byte-level BPE (tokenizer.ggml.model "gpt2"): words by regular expression, bytes as symbols, merges
// in the order of the file's list.
#pragma once

#include <array>
#include <string_view>

#include "tokenizer/merger.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/text_encoder.h"
#include "tokenizer/vocab.h"

namespace moraine {

class BpeEncoder final : public TextEncoder {
 public:
  // Throws Error{kCorruptFile} for a merge that is not two words or names a token that is not in the
  // vocabulary. A merge into a control token is left out: text becomes one only where it is parsed.
  BpeEncoder(const VocabData& data, const Vocab& vocab, PreTokenizer pre);

  void encode(std::span<const Segment> segments, std::vector<TokenId>& out) const override;

 private:
  const Vocab& vocab_;
  PreTokenizer pre_;
  MergeTable merges_;
  // A byte without a token (some vocabularies leave out what UTF-8 never uses) is dropped, as the
  // reference implementation does.
  std::array<TokenId, 256> byte_ids_;
};

}  // namespace moraine
