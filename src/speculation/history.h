// What this server's models wrote before, by cache scope: a later answer often repeats an earlier one.
// Bounded: the older half of a scope goes when it is full, and the scope that was idle longest.
#pragma once

#include <cstdint>
#include <list>
#include <span>

#include "speculation/ngram_index.h"

namespace moraine::speculation {

class History {
 public:
  explicit History(int32_t most_tokens = 1 << 18, int32_t most_scopes = 16)
      : most_tokens_(most_tokens), most_scopes_(most_scopes) {}
  void add(uint64_t scope, std::span<const TokenId> output);
  // Valid until the next add().
  NgramIndex::Match find(uint64_t scope, std::span<const TokenId> context);

 private:
  struct Scope {
    uint64_t id;
    NgramIndex index;
  };
  Scope* scope(uint64_t id);  // moved to the front; null: unknown

  int32_t most_tokens_, most_scopes_;
  std::list<Scope> scopes_;  // most recently used first
};

}  // namespace moraine::speculation
