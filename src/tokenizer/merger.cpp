#include "tokenizer/merger.h"

#include <algorithm>
#include <functional>

namespace moraine {

void Merger::push_candidate(uint32_t left) {
  const uint32_t right = next_[left];
  if (right == ids_.size()) return;
  if (const Merge* m = table_.find(ids_[left], ids_[right])) heap_.push_back(uint64_t{m->rank} << 32 | left);
}

void Merger::finish(std::vector<TokenId>& out) {
  const auto n = static_cast<uint32_t>(ids_.size());
  next_.resize(n);
  prev_.resize(n);
  heap_.clear();
  for (uint32_t i = 0; i < n; ++i) {
    next_[i] = i + 1;
    prev_[i] = i == 0 ? n : i - 1;
  }
  for (uint32_t i = 0; i + 1 < n; ++i) push_candidate(i);
  std::make_heap(heap_.begin(), heap_.end(), std::greater<>());

  while (!heap_.empty()) {
    std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
    const uint64_t top = heap_.back();
    heap_.pop_back();
    const auto left = static_cast<uint32_t>(top);
    // Candidates are not taken back when a neighbour changes; an outdated one is known by its rank,
    // which is no longer that of the pair standing there.
    if (ids_[left] == kNoToken || next_[left] == n) continue;
    const uint32_t right = next_[left];
    const Merge* m = table_.find(ids_[left], ids_[right]);
    if (m == nullptr || m->rank != top >> 32) continue;

    ids_[left] = m->result;
    ids_[right] = kNoToken;
    next_[left] = next_[right];
    if (next_[left] != n) prev_[next_[left]] = left;
    const auto push = [&](uint32_t i) {
      const size_t before = heap_.size();
      push_candidate(i);
      if (heap_.size() != before) std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
    };
    push(left);
    if (prev_[left] != n) push(prev_[left]);
  }
  for (uint32_t i = 0; i < n; i = next_[i]) out.push_back(ids_[i]);
  ids_.clear();
}

}  // namespace moraine
