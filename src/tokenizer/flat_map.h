// A hash map from 64-bit keys to small values in one array, filled at load and then only read:
// merge pairs and trie edges are looked up for nearly every byte of a text.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace moraine {

template <class Value>
class FlatMap {
 public:
  static constexpr std::uint64_t kEmpty = ~std::uint64_t{0};  // never a key

  // Keeps what is there already: the first of two entries wins. Returns the entry's value.
  Value& insert(std::uint64_t key, const Value& value) {
    if ((size_ + 1) * 2 > slots_.size()) grow();
    Slot& slot = slots_[find_slot(key)];
    if (slot.key == kEmpty) {
      slot = {key, value};
      ++size_;
    }
    return slot.value;
  }
  const Value* find(std::uint64_t key) const noexcept {
    if (slots_.empty()) return nullptr;
    const Slot& slot = slots_[find_slot(key)];
    return slot.key == kEmpty ? nullptr : &slot.value;
  }
  std::size_t size() const noexcept { return size_; }

 private:
  struct Slot {
    std::uint64_t key = kEmpty;
    Value value{};
  };

  std::size_t find_slot(std::uint64_t key) const noexcept {
    const std::size_t mask = slots_.size() - 1;
    // Fibonacci hashing; the fold brings the high half of the key into play.
    std::size_t i = ((key ^ key >> 29) * 0x9E3779B97F4A7C15u) >> shift_;
    while (slots_[i].key != key && slots_[i].key != kEmpty) i = (i + 1) & mask;
    return i;
  }
  void grow() {
    std::vector<Slot> old = std::exchange(slots_, std::vector<Slot>(slots_.empty() ? 64 : slots_.size() * 2));
    shift_ = 64 - std::countr_zero(slots_.size());
    for (const Slot& s : old)
      if (s.key != kEmpty) slots_[find_slot(s.key)] = s;
  }

  std::vector<Slot> slots_;  // a power of two, at most half full
  std::size_t size_ = 0;
  int shift_ = 0;
};

}  // namespace moraine
