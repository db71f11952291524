#include "speculation/ngram_index.h"

namespace moraine::speculation {
namespace {

constexpr int kMostCandidates = 32;  // looked at of a chain

}  // namespace

// Of the run that ends at `last`. Runs of one key may differ: what is found is compared.
uint64_t NgramIndex::key(const TokenId* last) {
  uint64_t h = 0;
  for (int i = 0; i < kShortest; ++i)
    h = (h ^ static_cast<uint32_t>(last[-i])) * 0x9e3779b97f4a7c15u, h ^= h >> 32;
  return h;
}

void NgramIndex::append(TokenId token) {
  tokens_.push_back(token);
  previous_.push_back(-1);
  if (size() < kShortest) return;
  const auto [it, is_new] = latest_.try_emplace(key(&tokens_.back()), size() - 1);
  if (!is_new) previous_.back() = it->second, it->second = size() - 1;
}

NgramIndex::Match NgramIndex::find(std::span<const TokenId> context) const {
  Match best;
  const auto n = static_cast<int32_t>(context.size());
  if (n < kShortest) return best;
  const auto it = latest_.find(key(&context.back()));
  if (it == latest_.end()) return best;
  int32_t at = it->second, looked = 0;
  if (at + 1 == size()) at = previous_[at];  // nothing follows it
  for (; at >= 0 && looked < kMostCandidates; at = previous_[at], ++looked) {
    int32_t length = 0;
    while (length < kLongest && length <= at && length < n && tokens_[at - length] == context[n - 1 - length])
      ++length;
    if (length < kShortest || length <= best.length) continue;
    best = {length, std::span(tokens_).subspan(at + 1)};
    if (length == kLongest) break;
  }
  return best;
}

}  // namespace moraine::speculation
