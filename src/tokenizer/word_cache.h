// Within one call of encode(), the ids of words met before: real text repeats most of its words.
#pragma once

#include <moraine/tokenizer.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "tokenizer/splitter.h"

namespace moraine {

// One place for each hash, where the latest word stands: no chains that a text could make long, no
// allocation after the first.
class WordCache {
 public:
  // For a text of these segments; a short one gets a small table.
  explicit WordCache(std::span<const Segment> text) {
    std::size_t n_bytes = 0;
    for (const Segment& segment : text) n_bytes += segment.text.size();
    slots_.resize(std::bit_ceil(std::clamp(n_bytes / 8, kMinWords, kMaxWords)));
  }

  // Appends the ids that `encode(word)` appended to out when this word last came. The word's bytes
  // must outlive the cache, and out may only grow.
  template <class Encode>
  void append(std::string_view word, std::vector<TokenId>& out, Encode&& encode) {
    if (word.size() > kMaxWordBytes) return encode(word);
    Slot& slot = slots_[std::hash<std::string_view>{}(word) & (slots_.size() - 1)];
    if (slot.word == word && !word.empty()) {
      for (std::size_t i = slot.begin; i < slot.begin + slot.size; ++i) out.push_back(out[i]);
      return;
    }
    const std::size_t begin = out.size();
    encode(word);
    slot = {word, static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(out.size() - begin)};
  }

 private:
  static constexpr std::size_t kMaxWordBytes = 64, kMinWords = 64, kMaxWords = 1u << 14;
  struct Slot {
    std::string_view word;
    std::uint32_t begin = 0, size = 0;  // its ids in out; a text has at most 2^30 bytes
  };
  std::vector<Slot> slots_;  // a power of two
};

}  // namespace moraine
