// What the two kinds of models have in common: segments in, ids out. The algorithms: bpe.h, spm.h.
#pragma once

#include <moraine/tokenizer.h>

#include <span>
#include <vector>

#include "tokenizer/splitter.h"

namespace moraine {

class TextEncoder {
 public:
  virtual ~TextEncoder() = default;
  // Appends the ids of the segments, special tokens as they are. Thread-safe; work memory is local.
  virtual void encode(std::span<const Segment> segments, std::vector<TokenId>& out) const = 0;
};

}  // namespace moraine
