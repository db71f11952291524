// The heart of both kinds of tokenizer: repeatedly join the two neighbouring symbols whose merge
// ranks lowest, leftmost first among equals. A heap over a linked list of token ids: O(n log n) for
// a word of n symbols, one megabyte of a single letter included; no recursion, no strings.
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

  // Merges them, appends the result to out and forgets them. Fewer than 2^32 symbols.
  void finish(std::vector<TokenId>& out);

 private:
  void push_candidate(std::uint32_t left);

  const MergeTable& table_;
  std::vector<TokenId> ids_;                // kNoToken once merged into the symbol before
  std::vector<std::uint32_t> next_, prev_;  // indices into ids_; the size of ids_ is "none"
  std::vector<std::uint64_t> heap_;         // rank << 32 | index of the left symbol
};

}  // namespace moraine
