// The memory of sequences on one backend: KV pages by position, and the recurrent state of models that
// have one. A pool with a cap in bytes, and what one sequence holds of it. What a page or a state
// contains is the backend's affair; what could be shared or kept between requests will be decided here.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "plan/backend.h"

namespace moraine::cache {

constexpr int32_t pages_for(int32_t n_tokens) {
  return (n_tokens + plan::kPageTokens - 1) / plan::kPageTokens;
}

class MemoryPool {
 public:
  explicit MemoryPool(plan::Backend& backend) : backend_(backend) {}

  void set_max_bytes(uint64_t n) { max_bytes_ = n; }
  // What a sequence of this many tokens takes when all of them are computed.
  uint64_t bytes_for(int32_t n_tokens) const {
    return static_cast<uint64_t>(pages_for(n_tokens)) * backend_.page_bytes() + backend_.state_bytes();
  }
  // Memory is promised before it is taken, so that an admitted sequence never runs out midway.
  bool reserve(uint64_t bytes);
  uint64_t used_bytes() const { return used_; }

 private:
  friend class SequenceMemory;
  plan::Backend& backend_;
  uint64_t max_bytes_ = 0, reserved_ = 0, used_ = 0;
};

// What one sequence holds: its pages by position / kPageTokens, and its state. Keeps the reservation
// it was made for as long as it lives.
class SequenceMemory {
 public:
  // n_tokens: what was reserved, by bytes_for. Throws Error{kOutOfMemory} where the system has less than
  // was promised; the reservation is then given back.
  SequenceMemory(MemoryPool& pool, int32_t n_tokens);
  ~SequenceMemory();
  SequenceMemory(const SequenceMemory&) = delete;
  SequenceMemory& operator=(const SequenceMemory&) = delete;

  void grow_to(int32_t n_tokens);  // throws Error{kOutOfMemory}
  std::span<const plan::PageId> pages() const { return pages_; }
  plan::StateId state() const { return state_; }  // -1: the model has none

 private:
  MemoryPool& pool_;
  int32_t max_pages_;
  uint64_t reserved_;
  std::vector<plan::PageId> pages_;
  plan::StateId state_ = -1;
};

}  // namespace moraine::cache
