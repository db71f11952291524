#include "tokenizer/merger.h"

#include <algorithm>
#include <functional>

namespace moraine {

const Merge* Merger::candidate(uint32_t left) const noexcept {
  const uint32_t right = next(left);
  return right < ids_.size() ? table_.find(ids_[left], ids_[right]) : nullptr;
}

void Merger::finish(std::vector<TokenId>& out) {
  const auto n = static_cast<uint32_t>(ids_.size());
  const auto entry = [](const Merge& m, uint32_t left) { return uint64_t{m.rank} << 32 | left; };
  heap_.clear();
  for (uint32_t i = 0; i + 1 < n; ++i)
    if (const Merge* m = table_.find(ids_[i], ids_[i + 1])) heap_.push_back(entry(*m, i));
  std::make_heap(heap_.begin(), heap_.end(), std::greater<>());

  while (!heap_.empty()) {
    std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
    const uint64_t top = heap_.back();
    heap_.pop_back();
    const auto left = static_cast<uint32_t>(top);
    // Candidates are not taken back when a neighbour changes; an outdated one is known by its rank,
    // which is no longer that of the pair standing there.
    if (ids_[left] < 0) continue;
    const Merge* m = candidate(left);
    if (m == nullptr || m->rank != top >> 32) continue;

    const uint32_t right = next(left), end = next(right);
    ids_[left] = m->result;
    ids_[right] = kNoToken;
    ids_[left + 1] = ids_[end - 1] = -static_cast<int32_t>(end - left);
    const auto push = [&](uint32_t i) {
      if (const Merge* found = candidate(i)) {
        heap_.push_back(entry(*found, i));
        std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
      }
    };
    push(left);
    if (left > 0) push(previous(left));
  }
  for (uint32_t i = 0; i < n; i = next(i)) out.push_back(ids_[i]);
  ids_.clear();
}

}  // namespace moraine
