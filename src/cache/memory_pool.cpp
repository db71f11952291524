#include "cache/memory_pool.h"

namespace moraine::cache {

PageRef::PageRef(const PageRef& o) noexcept : pool_(o.pool_), id_(o.id_) {
  if (pool_) ++pool_->references_[id_];
}
PageRef::~PageRef() {
  if (pool_) pool_->release_page(id_);
}
bool PageRef::unique() const { return pool_ && pool_->references_[id_] == 1; }

StateRef::~StateRef() {
  if (pool_) pool_->release_state(id_);
}

std::optional<int32_t> MemoryPool::allocate(int32_t (plan::Backend::*from)()) {
  try {
    return (backend_.*from)();
  } catch (const Error& e) {
    if (e.code() != ErrorCode::kOutOfMemory) throw;
    granted_ = used_, refusal_ = e.what();
    return std::nullopt;
  }
}

std::optional<PageRef> MemoryPool::take_page() {
  if (free_bytes() < page_bytes()) return std::nullopt;
  const auto id = allocate(&plan::Backend::allocate_page);
  if (!id) return std::nullopt;
  if (references_.size() <= static_cast<size_t>(*id)) references_.resize(*id + 1);
  references_[*id] = 1;
  used_ += page_bytes();
  return PageRef(this, *id);
}

std::optional<StateRef> MemoryPool::take_state() {
  if (free_bytes() < state_bytes()) return std::nullopt;
  const auto id = allocate(&plan::Backend::allocate_state);
  if (!id) return std::nullopt;
  StateRef state(this, *id);
  used_ += state_bytes();
  return state;
}

void MemoryPool::release_page(plan::PageId id) noexcept {
  if (--references_[id] > 0) return;
  backend_.free_page(id);
  used_ -= page_bytes();
}

void MemoryPool::release_state(plan::StateId id) noexcept {
  backend_.free_state(id);
  used_ -= state_bytes();
}

}  // namespace moraine::cache
