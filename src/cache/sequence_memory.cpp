#include "cache/sequence_memory.h"

#include "base/check.h"

namespace moraine::cache {

bool MemoryPool::reserve(uint64_t bytes) {
  if (reserved_ + bytes > max_bytes_) return false;
  reserved_ += bytes;
  return true;
}

SequenceMemory::SequenceMemory(MemoryPool& pool, int32_t n_tokens)
    : pool_(pool), max_pages_(pages_for(n_tokens)), reserved_(pool.bytes_for(n_tokens)) {
  try {
    pages_.reserve(max_pages_);
    if (pool_.backend_.state_bytes() > 0) {
      state_ = pool_.backend_.allocate_state();
      pool_.used_ += pool_.backend_.state_bytes();
    }
  } catch (...) {
    pool_.reserved_ -= reserved_;
    throw;
  }
}

SequenceMemory::~SequenceMemory() {
  for (plan::PageId p : pages_) pool_.backend_.free_page(p);
  pool_.used_ -= pages_.size() * pool_.backend_.page_bytes();
  if (state_ >= 0) {
    pool_.backend_.free_state(state_);
    pool_.used_ -= pool_.backend_.state_bytes();
  }
  pool_.reserved_ -= reserved_;
}

void SequenceMemory::grow_to(int32_t n_tokens) {
  const int32_t need = pages_for(n_tokens);
  MORAINE_CHECK(need <= max_pages_);
  while (static_cast<int32_t>(pages_.size()) < need) {
    pages_.push_back(pool_.backend_.allocate_page());
    pool_.used_ += pool_.backend_.page_bytes();
  }
}

}  // namespace moraine::cache
