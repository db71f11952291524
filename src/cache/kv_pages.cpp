#include "cache/kv_pages.h"

#include "base/check.h"

namespace moraine::cache {

bool PagePool::reserve(int32_t n_pages) {
  if (reserved_ + n_pages > max_pages_) return false;
  reserved_ += n_pages;
  return true;
}

plan::PageId PagePool::take() {
  const plan::PageId page = backend_.allocate_page();
  ++used_;
  return page;
}

void PagePool::give_back(plan::PageId page) noexcept {
  backend_.free_page(page);
  --used_;
}

PageTable::~PageTable() {
  for (plan::PageId p : pages_) pool_.give_back(p);
  pool_.release(reserved_);
}

void PageTable::grow_to(int32_t n_tokens) {
  const int32_t need = pages_for(n_tokens);
  MORAINE_CHECK(need <= reserved_);
  while (static_cast<int32_t>(pages_.size()) < need) pages_.push_back(pool_.take());
}

}  // namespace moraine::cache
