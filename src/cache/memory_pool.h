// KV pages and recurrent states of one backend, under one cap in bytes: handed out as references that give
// their memory back. A page may be read by many sequences; a state has one owner. What a page or a state
// contains is the backend's affair; which are worth keeping is prefix_tree.h. For one thread.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "plan/backend.h"

namespace moraine::cache {

constexpr int32_t pages_for(int32_t n_tokens) {
  return (n_tokens + plan::kPageTokens - 1) / plan::kPageTokens;
}

class MemoryPool;

// A counted reference to a page.
class PageRef {
 public:
  PageRef() = default;
  PageRef(const PageRef& o) noexcept;
  PageRef(PageRef&& o) noexcept : pool_(std::exchange(o.pool_, nullptr)), id_(o.id_) {}
  PageRef& operator=(PageRef o) noexcept {
    std::swap(pool_, o.pool_), std::swap(id_, o.id_);
    return *this;
  }
  ~PageRef();
  explicit operator bool() const { return pool_ != nullptr; }
  plan::PageId id() const { return id_; }
  bool unique() const;  // no other reference to this page

 private:
  friend class MemoryPool;
  PageRef(MemoryPool* pool, plan::PageId id) : pool_(pool), id_(id) {}
  MemoryPool* pool_ = nullptr;
  plan::PageId id_ = -1;
};

// The one owner of a state.
class StateRef {
 public:
  StateRef() = default;
  StateRef(StateRef&& o) noexcept : pool_(std::exchange(o.pool_, nullptr)), id_(std::exchange(o.id_, -1)) {}
  StateRef& operator=(StateRef&& o) noexcept {
    std::swap(pool_, o.pool_), std::swap(id_, o.id_);
    return *this;
  }
  ~StateRef();
  explicit operator bool() const { return pool_ != nullptr; }
  plan::StateId id() const { return id_; }  // -1: none

 private:
  friend class MemoryPool;
  StateRef(MemoryPool* pool, plan::StateId id) : pool_(pool), id_(id) {}
  MemoryPool* pool_ = nullptr;
  plan::StateId id_ = -1;
};

// Outlives every reference it gave.
class MemoryPool {
 public:
  explicit MemoryPool(plan::Backend& backend) : backend_(backend) {}
  MemoryPool(const MemoryPool&) = delete;

  void set_max_bytes(uint64_t n) { max_bytes_ = n; }
  uint64_t max_bytes() const { return max_bytes_; }
  uint64_t used_bytes() const { return used_; }
  uint64_t free_bytes() const {
    const uint64_t most = std::min(max_bytes_, granted_);
    return most > used_ ? most - used_ : 0;
  }
  uint64_t page_bytes() const { return backend_.page_bytes(); }
  uint64_t state_bytes() const { return backend_.state_bytes(); }  // 0: the model has none
  // What a sequence of this many tokens takes by itself.
  uint64_t bytes_for(int32_t n_tokens) const {
    return static_cast<uint64_t>(pages_for(n_tokens)) * page_bytes() + state_bytes();
  }

  // Nothing where the cap leaves no room, or where the backend refuses: another program took what there was.
  // The cap is then what was in use, so that evicting and waiting go on as ever, until hope_again().
  std::optional<PageRef> take_page();
  std::optional<StateRef> take_state();                    // as before the first token
  const std::string& refusal() const { return refusal_; }  // the backend's last one; empty: none since
  void hope_again() { granted_ = UINT64_MAX, refusal_.clear(); }
  void copy_page(plan::PageId to, plan::PageId from) { backend_.copy_page(to, from); }
  void copy_state(plan::StateId to, plan::StateId from) { backend_.copy_state(to, from); }
  plan::Contents contents(const PageRef& page) { return backend_.page_contents(page.id()); }
  plan::Contents contents(const StateRef& state) { return backend_.state_contents(state.id()); }

 private:
  friend class PageRef;
  friend class StateRef;
  void release_page(plan::PageId id) noexcept;
  void release_state(plan::StateId id) noexcept;

  std::optional<int32_t> allocate(int32_t (plan::Backend::*from)());

  plan::Backend& backend_;
  uint64_t max_bytes_ = 0, used_ = 0;
  uint64_t granted_ = UINT64_MAX;  // less where the backend refused
  std::string refusal_;
  std::vector<int32_t> references_;  // by PageId
};

}  // namespace moraine::cache
