// The heart of both kinds of tokenizer: repeatedly join the two neighbouring symbols whose merge
// ranks lowest, leftmost first among equals. A heap over an array of token ids: O(n log n) for a word
// of n symbols, one megabyte of a single letter included; no recursion, no strings, and at most 12
// bytes for a symbol.
// How a text becomes symbols and where ranks come from: bpe.cpp, spm.cpp.
#pragma once

#include <moraine/tokenizer.h>

#include <cstdint>
#include <span>
#include <vector>

#include "tokenizer/flat_map.h"

namespace moraine {

struct Merge {
  std::uint32_t rank;
  TokenId result;
};

class MergeTable {
 public:
  // The first merge given for a pair stays.
  void add(TokenId left, TokenId right, Merge merge) { map_.insert(key(left, right), merge); }
  const Merge* find(TokenId left, TokenId right) const noexcept { return map_.find(key(left, right)); }
  std::size_t size() const noexcept { return map_.size(); }

 private:
  static std::uint64_t key(TokenId left, TokenId right) noexcept {
    return std::uint64_t{static_cast<std::uint32_t>(left)} << 32 | static_cast<std::uint32_t>(right);
  }
  FlatMap<Merge> map_;
};

// Work memory for merging, reused from word to word; one for each call of encode().
class Merger {
 public:
  explicit Merger(const MergeTable& table) : table_(table) {}

  // The symbols of the next word.
  void push(TokenId id) { ids_.push_back(id); }
  TokenId last() const noexcept { return ids_.empty() ? kNoToken : ids_.back(); }

  // Merges them, appends the result to out and forgets them. Fewer than 2^31 symbols.
  void finish(std::vector<TokenId>& out);

 private:
  // A merged symbol stands where its left part stood. The places that its other parts leave are
  // negative, and the first and last of them hold -n, n being all its places, so that both of its
  // neighbours are found without a list. size(): there is no symbol after.
  std::uint32_t next(std::uint32_t i) const noexcept {
    return i + 1 < ids_.size() && ids_[i + 1] < 0 ? i - static_cast<std::uint32_t>(ids_[i + 1]) : i + 1;
  }
  std::uint32_t previous(std::uint32_t i) const noexcept {  // i > 0
    return ids_[i - 1] < 0 ? i + static_cast<std::uint32_t>(ids_[i - 1]) : i - 1;
  }
  const Merge* candidate(std::uint32_t left) const noexcept;  // null: nothing to merge with on its right

  const MergeTable& table_;
  std::vector<std::int32_t> ids_;    // token ids, and the negative places
  std::vector<std::uint64_t> heap_;  // rank << 32 | index of the left symbol
};

}  // namespace moraine
