// KV memory by pages: a pool with a cap over one backend, and the table of pages a sequence holds.
// What a page contains is the backend's affair; what could be shared or kept between requests will be
// decided here.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "plan/backend.h"

namespace moraine::cache {

constexpr int32_t pages_for(int32_t n_tokens) {
  return (n_tokens + plan::kPageTokens - 1) / plan::kPageTokens;
}

class PagePool {
 public:
  PagePool(plan::Backend& backend, int32_t max_pages) : backend_(backend), max_pages_(max_pages) {}

  // Pages are promised before they are taken, so that an admitted sequence never runs out midway.
  bool reserve(int32_t n_pages);
  void release(int32_t n_pages) { reserved_ -= n_pages; }
  void set_max_pages(int32_t n) { max_pages_ = n; }
  int32_t used_pages() const { return used_; }

  plan::PageId take();  // throws Error{kOutOfMemory} where the system has less than was promised
  void give_back(plan::PageId page) noexcept;

 private:
  plan::Backend& backend_;
  int32_t max_pages_;
  int32_t reserved_ = 0;
  int32_t used_ = 0;
};

// The pages of one sequence, by position / kPageTokens. Holds a reservation for as long as it lives.
class PageTable {
 public:
  PageTable(PagePool& pool, int32_t reserved_pages) : pool_(pool), reserved_(reserved_pages) {
    pages_.reserve(reserved_pages);
  }
  ~PageTable();
  PageTable(const PageTable&) = delete;
  PageTable& operator=(const PageTable&) = delete;

  void grow_to(int32_t n_tokens);  // throws Error{kOutOfMemory}
  std::span<const plan::PageId> pages() const { return pages_; }

 private:
  PagePool& pool_;
  int32_t reserved_;
  std::vector<plan::PageId> pages_;
};

}  // namespace moraine::cache
