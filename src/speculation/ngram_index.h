// Finds what followed the same tokens before: positions of every run of kShortest tokens in a growing
// sequence, chained from the latest back. Looking up walks a chain and takes the longest match.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

namespace moraine::speculation {

using TokenId = int32_t;

class NgramIndex {
 public:
  static constexpr int32_t kShortest = 3;  // tokens that must match at least
  static constexpr int32_t kLongest = 64;  // more are not compared

  struct Match {
    int32_t length = 0;  // tokens that agree, up to kLongest; 0: none
    std::span<const TokenId> next;
  };

  void append(TokenId token);
  void append(std::span<const TokenId> tokens) {
    for (const TokenId t : tokens) append(t);
  }
  int32_t size() const { return static_cast<int32_t>(tokens_.size()); }
  std::span<const TokenId> tokens() const { return tokens_; }

  // Where the end of `context` stood before with something after it: the longest match, of equals the latest.
  Match find(std::span<const TokenId> context) const;
  // The same for what was appended itself.
  Match find() const { return find(tokens_); }

 private:
  static uint64_t key(const TokenId* last);

  std::vector<TokenId> tokens_;
  std::vector<int32_t> previous_;                 // by the position of a run's last token; -1: none
  std::unordered_map<uint64_t, int32_t> latest_;  // of each run
};

}  // namespace moraine::speculation
